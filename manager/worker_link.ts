/**
 * The connections of workers: what they say becomes events, what the core tells them is sent,
 * and heartbeats find out who is gone. One frame carries what a turn has for a worker.
 */

import { randomBytes } from "node:crypto";

import { acceptChannel, type Channel } from "../shared/channel.ts";
import { FrameError } from "../shared/frame_error.ts";
import type { SessionId, WorkerId } from "../shared/ids.ts";
import { leanManagerMessages } from "../shared/lean_message.ts";
import { workerMessage } from "../shared/message_shapes.ts";
import {
  type DispatchedTask,
  type ManagerMessage,
  PROTOCOL_VERSION,
  type WorkerMessage,
} from "../shared/protocol.ts";
import type { SocketHandlers } from "../shared/runtime/socket.ts";
import type { TaskShape } from "../shared/task.ts";
import type { Hello, ManagerEvent } from "./core/event.ts";
import type { Door } from "./door.ts";
import type { PeerAddress } from "./fetch_source.ts";
import { helloFault, readable } from "./hello_check.ts";
import { MessageBudget } from "./message_budget.ts";
import type { TailReport } from "./tail_desk.ts";
import type { Tickets } from "./tickets.ts";

/** A connection that has not said hello after this long is closed. */
const HELLO_TIMEOUT_MS = 10_000;

/** Heartbeats in the time after which a worker is lost. */
const HEARTBEATS_PER_TIMEOUT = 3;

/** Links are looked at this often, or oftener when the timeout is short. */
const LOOK_MS_MAX = 1000;

/** Refusals that one heartbeat can add to the count, whatever it says. */
const PEER_REFUSALS_MAX = 1_000_000;

/** Arguments of the calls of one dispatch, if it has more than one; far below what a frame carries. */
const DISPATCH_BYTES_MAX: number = 1024 * 1024;

/** Connections of workers at the same time. */
const LINKS_MAX = 20_000;

/** What links are made of. */
export interface WorkerLinksOptions {
  readonly managerId: string;
  readonly epoch: number;
  readonly workerSecret: string;
  readonly tickets: Tickets;
  /** Silence after which a worker is lost; asked each time, as it can be tuned. */
  readonly workerTimeoutMs: () => number;
  readonly push: (event: ManagerEvent) => void;
  /** Told of each hello, before the core is. */
  readonly onHello: (hello: Hello) => void;
  /** Told how many requests a worker's peer server has turned away. */
  readonly onPeerRefusals: (count: number) => void;
  /** Told what is seen of running tries. */
  readonly onTail: (workerId: WorkerId, report: TailReport) => void;
  readonly door: Door;
}

interface WorkerLink {
  readonly session: SessionId;
  readonly channel: Channel<ManagerMessage>;
  /** Absent until its hello. */
  hello: Hello | undefined;
  /** What this turn has for it. */
  outgoing: ManagerMessage[];
  readonly budget: MessageBudget;
  readonly openedAtMs: number;
  heardAtMs: number;
  sentAtMs: number;
}

/** All connections of workers to one manager. */
export class WorkerLinks {
  readonly #options: WorkerLinksOptions;
  readonly #links: Map<SessionId, WorkerLink> = new Map();
  /** `{worker: the connection of its last hello}`, of workers that are connected. */
  readonly #greeted: Map<WorkerId, WorkerLink> = new Map();
  readonly #dirty: Set<WorkerLink> = new Set();
  /** Called when the last link has closed. */
  #onEmpty: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lookedAtMs = 0;
  #isClosing = false;

  constructor(options: WorkerLinksOptions) {
    this.#options = options;
    this.#planLook();
  }

  /** The manager's end of a new connection. */
  accept(): SocketHandlers {
    let link: WorkerLink | undefined;
    return acceptChannel<WorkerMessage, ManagerMessage>(
      { worker: this.#options.workerSecret },
      {
        check: workerMessage,
        door: this.#options.door,
        handlers: {
          open: (channel) => {
            link = this.#open(channel);
          },
          messages: (_channel, messages) => {
            if (link !== undefined) this.#hear(link, messages);
          },
          close: () => {
            if (link !== undefined) this.#end(link, { wasSilent: false });
          },
        },
      },
    );
  }

  /** Opens the session that the core has accepted. */
  welcome(session: SessionId, workerId: WorkerId): void {
    const { managerId, epoch, tickets } = this.#options;
    const link = this.#links.get(session);
    if (link === undefined) return;
    this.send(session, [{
      kind: "welcome",
      managerId,
      epoch,
      session,
      transferKey: link.channel.seal(tickets.workerKey(workerId)),
      heartbeatMs: this.#heartbeatMs(),
      atMs: Date.now(),
    }]);
  }

  /** Adds messages to what this turn has for a connection; lost when it is closed by now. */
  send(session: SessionId, messages: readonly ManagerMessage[]): void {
    const link = this.#links.get(session);
    if (link === undefined) return;
    for (const message of messages) link.outgoing.push(message);
    this.#dirty.add(link);
  }

  /** Sends what this turn has collected. */
  flush(): void {
    if (this.#dirty.size === 0) return;
    for (const link of this.#dirty) this.#flushLink(link);
    this.#dirty.clear();
  }

  /** Closes a connection; the core, which asked for it, hears no more of it. */
  disconnect(session: SessionId, reason: string): void {
    const link = this.#links.get(session);
    if (link === undefined) return;
    this.#flushLink(link);
    this.#links.delete(session);
    this.#forget(link);
    link.channel.close(reason);
  }

  /** Where the peer server of a connected worker is; nowhere when it is not connected. */
  peerOf(workerId: WorkerId): PeerAddress {
    const { urls = [], certificate } = this.#greeted.get(workerId)?.hello ?? {};
    return certificate === undefined ? { urls } : { urls, certificate };
  }

  /** Takes no more connections; resolves when those that are open have closed, or after `withinMs`. */
  async close(withinMs: number): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#timer);
    if (this.#links.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onEmpty = resolve;
      const timer = setTimeout(resolve, withinMs);
      await promise;
      clearTimeout(timer);
    }
    for (const session of [...this.#links.keys()]) {
      this.disconnect(session, "The manager is closing");
    }
  }

  #open(channel: Channel<ManagerMessage>): WorkerLink | undefined {
    if (this.#isClosing) {
      channel.close("The manager is closing");
      return undefined;
    }
    if (this.#links.size >= LINKS_MAX) {
      this.#options.door.refuse("connection");
      channel.close(`The manager takes ${LINKS_MAX} workers at most`);
      return undefined;
    }
    const nowMs = performance.now();
    const link: WorkerLink = {
      session: randomBytes(12).toString("base64url") as SessionId,
      channel,
      hello: undefined,
      outgoing: [],
      budget: new MessageBudget(nowMs),
      openedAtMs: nowMs,
      heardAtMs: nowMs,
      sentAtMs: nowMs,
    };
    this.#links.set(link.session, link);
    return link;
  }

  #hear(link: WorkerLink, messages: readonly WorkerMessage[]): void {
    const { session } = link;
    if (!this.#links.has(session)) return;
    link.heardAtMs = performance.now();
    if (!link.budget.spend(messages, link.heardAtMs)) {
      this.#options.door.refuse("flood");
      return this.#refuse(link, "Cannot take so many messages: the worker floods the manager");
    }
    for (const message of messages) {
      if (message.kind === "hello") {
        if (!this.#greet(link, message)) return;
      } else if (link.hello === undefined) {
        this.#options.door.refuse("handshake");
        this.#refuse(link, `Cannot take message "${message.kind}" before hello`);
        return;
      } else if (message.kind === "heartbeat") {
        const { refused = 0 } = message;
        if (refused > 0) this.#options.onPeerRefusals(Math.min(refused, PEER_REFUSALS_MAX));
      } else if (message.kind === "piece" || message.kind === "watch_ended") {
        this.#options.onTail(link.hello.workerId, message);
      } else {
        const { workerId } = link.hello;
        const told = readable(message);
        this.#options.push({ kind: "message_received", workerId, session, message: told });
      }
    }
  }

  /** Takes a hello; false when the connection was refused for it. */
  #greet(link: WorkerLink, hello: Hello): boolean {
    if (link.hello !== undefined) {
      this.#options.door.refuse("handshake");
      this.#refuse(link, "Cannot take a second hello on one connection");
      return false;
    }
    if (hello.protocol !== PROTOCOL_VERSION) {
      this.#options.door.refuse("handshake");
      this.#refuse(
        link,
        `Cannot speak protocol ${hello.protocol} with a manager of protocol ${PROTOCOL_VERSION}: ` +
          "use the same version of tendril on both sides",
      );
      return false;
    }
    const fault = helloFault(hello);
    if (fault !== undefined) {
      this.#options.door.refuse("lie");
      this.#refuse(link, fault);
      return false;
    }
    link.hello = hello;
    this.#greeted.set(hello.workerId, link);
    this.#options.onHello(hello);
    this.#options.push({ kind: "worker_connected", session: link.session, hello });
    return true;
  }

  #refuse(link: WorkerLink, reason: string): void {
    link.channel.close(reason);
    this.#end(link, { wasSilent: false });
  }

  /** A connection is gone: once, and only for those that the core does not know to be. */
  #end(link: WorkerLink, { wasSilent }: { wasSilent: boolean }): void {
    const { session, hello } = link;
    if (!this.#links.delete(session)) return;
    this.#forget(link);
    if (hello !== undefined) {
      const { workerId } = hello;
      this.#options.push({ kind: "worker_disconnected", workerId, session, wasSilent });
    }
  }

  #forget(link: WorkerLink): void {
    this.#dirty.delete(link);
    const workerId = link.hello?.workerId;
    if (workerId !== undefined && this.#greeted.get(workerId) === link) {
      this.#greeted.delete(workerId);
    }
    if (this.#links.size === 0) this.#onEmpty?.();
  }

  #flushLink(link: WorkerLink): void {
    if (link.outgoing.length === 0) return;
    const outgoing = link.outgoing.flatMap(cutDispatch);
    link.outgoing = [];
    link.sentAtMs = performance.now();
    try {
      link.channel.send(leanManagerMessages(outgoing));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      sendApart(link.channel, outgoing);
    }
  }

  #heartbeatMs(): number {
    return Math.round(this.#options.workerTimeoutMs() / HEARTBEATS_PER_TIMEOUT);
  }

  #planLook(): void {
    const periodMs = Math.min(LOOK_MS_MAX, this.#heartbeatMs() / 2);
    this.#lookedAtMs = performance.now();
    this.#timer = setTimeout(() => {
      const lateMs = performance.now() - this.#lookedAtMs - periodMs;
      this.#look(lateMs);
      if (!this.#isClosing) this.#planLook();
    }, periodMs);
  }

  #look(lateMs: number): void {
    const nowMs = performance.now();
    const heartbeatMs = this.#heartbeatMs();
    const timeoutMs = this.#options.workerTimeoutMs();
    for (const link of [...this.#links.values()]) {
      // While this process stood still it could not hear: what came is read in the next turn.
      if (lateMs > heartbeatMs) link.heardAtMs += lateMs;
      if (link.hello === undefined && nowMs - link.openedAtMs > HELLO_TIMEOUT_MS) {
        this.#options.door.refuse("handshake_timeout");
        this.#refuse(link, `Cannot wait longer than ${HELLO_TIMEOUT_MS} ms for hello`);
      } else if (nowMs - link.heardAtMs > timeoutMs) {
        link.channel.close(`Nothing was heard for ${timeoutMs} ms`);
        this.#end(link, { wasSilent: true });
      } else if (nowMs - link.sentAtMs >= heartbeatMs && link.hello !== undefined) {
        this.send(link.session, [{ kind: "heartbeat" }]);
      }
    }
    this.flush();
  }
}

/** A dispatch whose arguments are many bytes is several: larger ones would be copied for nothing. */
function cutDispatch(message: ManagerMessage): ManagerMessage | ManagerMessage[] {
  if (message.kind !== "dispatch") return message;
  const parts: ManagerMessage[] = [];
  let from = 0;
  let sizeBytes = 0;
  for (const [index, { body }] of message.tasks.entries()) {
    const ownBytes = body.kind === "call" ? body.arguments.length : 0;
    if (sizeBytes > 0 && sizeBytes + ownBytes > DISPATCH_BYTES_MAX) {
      parts.push(dispatchOf(message.shapes, message.tasks.slice(from, index)));
      from = index;
      sizeBytes = 0;
    }
    sizeBytes += ownBytes;
  }
  if (parts.length === 0) return message;
  return [...parts, dispatchOf(message.shapes, message.tasks.slice(from))];
}

/** Sends messages that no frame can carry as they are: one by one, and a dispatch in halves. */
function sendApart(channel: Channel<ManagerMessage>, messages: readonly ManagerMessage[]): void {
  for (const message of messages) {
    try {
      channel.send(leanManagerMessages([message]));
    } catch (error) {
      const canHalve = message.kind === "dispatch" && message.tasks.length > 1;
      if (!(error instanceof FrameError) || !canHalve) throw error;
      const half = message.tasks.length >> 1;
      sendApart(channel, [
        dispatchOf(message.shapes, message.tasks.slice(0, half)),
        dispatchOf(message.shapes, message.tasks.slice(half)),
      ]);
    }
  }
}

/** A dispatch of `tasks` with only the shapes that they have. */
function dispatchOf(
  allShapes: readonly TaskShape[],
  tasks: readonly DispatchedTask[],
): ManagerMessage {
  const used = [...new Set(tasks.map((task) => task.shape))];
  const shapes = used.flatMap((index) => allShapes[index] ?? []);
  const indexes = new Map(used.map((index, position) => [index, position]));
  return {
    kind: "dispatch",
    shapes,
    tasks: tasks.map((task) => ({ ...task, shape: indexes.get(task.shape) ?? task.shape })),
  };
}
