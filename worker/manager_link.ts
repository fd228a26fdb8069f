/**
 * The connection to the manager: dialled by the worker, kept alive, dialled again when it
 * breaks. It carries messages and says when it opens and closes; what a break means for tries and
 * files is the core's business.
 *
 * @module
 */

import { type Channel, type ChannelEnd, dialChannel } from "../shared/channel.ts";
import { leanWorkerMessage } from "../shared/lean_message.ts";
import { managerMessage } from "../shared/message_shapes.ts";
import type { ManagerMessage, WorkerMessage } from "../shared/protocol.ts";
import { connect } from "../shared/runtime/connect.ts";

/** Where the manager is and what proves that we belong to it. */
export interface ManagerAccess {
  /** Base urls, `http://HOST:PORT`, best first. */
  readonly urls: readonly string[];
  readonly secret: string;
  /** Tells one manager, and one start of it, from the next of its name. */
  readonly identity: string;
}

/** Why no further connection is tried. */
export interface LinkEnd {
  /** `refused` by every address, or no manager for too long. */
  readonly kind: "refused" | "gone";
  /** One line for a person. */
  readonly message: string;
}

/** What a link is made of. */
export interface ManagerLinkOptions {
  /** Read before each round of dialling: a manager that starts again has another address. */
  readonly access: () => Promise<ManagerAccess>;
  /** Time without a manager after which the link gives up. */
  readonly goneMsMax: number;
  readonly opened: () => void;
  readonly received: (messages: readonly ManagerMessage[]) => void;
  readonly closed: (reason: string) => void;
  readonly ended: (end: LinkEnd) => void;
}

/** Delays of the first rounds of dialling after a break; DESIGN section 5. */
const DIAL_DELAYS_MS: readonly number[] = [0, 100, 500, 1_000, 2_000];

/** Delay of every later round. */
const DIAL_DELAY_MS_MAX = 5_000;

/** A delay is drawn from this part of it on, so that a thousand workers do not dial at once. */
const JITTER = 0.5;

/** Until the manager states its own. */
const HEARTBEAT_MS = 5_000;

/** Heartbeats that may be missed before the connection counts as dead. */
const MISSED_HEARTBEATS_MAX = 4;

/** How often silence is looked at, in heartbeats. */
const LOOKS_PER_HEARTBEAT = 4;

/** Owner of the connection and its timers. */
export class ManagerLink {
  readonly #options: ManagerLinkOptions;
  #channel: Channel<WorkerMessage> | undefined;
  #url: string | undefined;
  #heartbeatMs = HEARTBEAT_MS;
  #heardAtMs = 0;
  #spokeAtMs = 0;
  #watch: ReturnType<typeof setInterval> | undefined;
  #redial: ReturnType<typeof setTimeout> | undefined;
  #dialling: AbortController | undefined;
  #roundCount = 0;
  /** Instant of the last moment with a manager. */
  #lostAtMs: number;
  #hasOpened = false;
  #isClosed = false;
  #lastFailure = "";
  #identity: string | undefined;
  /** The manager that has no more use for this worker: it is not dialled again. */
  #releasedBy: string | undefined;

  constructor(options: ManagerLinkOptions) {
    this.#options = options;
    this.#lostAtMs = performance.now();
    this.#planRound();
  }

  /** Base url of the manager that is connected. */
  get managerUrl(): string | undefined {
    return this.#url;
  }

  /** Sends in order; what is sent while there is no connection is dropped, as `hello` repairs it. */
  send(messages: readonly WorkerMessage[]): void {
    if (this.#channel === undefined) return;
    this.#spokeAtMs = performance.now();
    this.#channel.send(messages.map(leanWorkerMessage));
  }

  /** Takes over what the manager says of heartbeats. */
  keepAlive(heartbeatMs: number): void {
    this.#heartbeatMs = heartbeatMs;
    clearInterval(this.#watch);
    this.#watch = setInterval(this.#look, Math.max(1, heartbeatMs / LOOKS_PER_HEARTBEAT));
  }

  /** Closes the connection and waits for another manager. */
  release(reason: string): void {
    this.#releasedBy = this.#identity;
    this.#channel?.close(reason);
  }

  /** Closes the connection and dials no more. */
  close(reason: string): void {
    this.#isClosed = true;
    this.#dialling?.abort();
    clearTimeout(this.#redial);
    clearInterval(this.#watch);
    this.#channel?.close(reason);
  }

  [Symbol.dispose](): void {
    this.close("The worker is closing");
  }

  #planRound(): void {
    const delayMs = DIAL_DELAYS_MS[this.#roundCount] ?? DIAL_DELAY_MS_MAX;
    this.#roundCount += 1;
    const jitteredMs = delayMs * (1 - JITTER * Math.random());
    this.#redial = setTimeout(() => void this.#dialRound(), jitteredMs);
  }

  /** Tries each address once; opens, plans the next round, or ends the link. */
  async #dialRound(): Promise<void> {
    let refusal: ChannelEnd | undefined;
    let refusedCount = 0;
    const access = await this.#readAccess();
    if (this.#isClosed) return;
    const isReleased = access !== undefined && access.identity === this.#releasedBy;
    for (const url of isReleased ? [] : access?.urls ?? []) {
      this.#identity = access?.identity;
      const end = await this.#dial(url, access?.secret ?? "");
      if (end === undefined || this.#isClosed) return;
      this.#lastFailure = end.reason;
      if (end.fault !== undefined && end.fault !== "message") {
        refusal = end;
        refusedCount += 1;
      }
    }
    if (this.#isClosed) return;
    const isRefused = refusal !== undefined && refusedCount === access?.urls.length;
    // A worker that outlives its manager may meet a stranger at the old address for a while.
    if (isRefused && !this.#hasOpened) {
      return this.#end("refused", `Cannot join the manager: ${refusal?.reason}`);
    }
    const goneMs = performance.now() - this.#lostAtMs;
    if (goneMs >= this.#options.goneMsMax) {
      const seconds = Math.round(goneMs / 1000);
      return this.#end("gone", `No manager for ${seconds} s: ${this.#lastFailure}`);
    }
    this.#planRound();
  }

  async #readAccess(): Promise<ManagerAccess | undefined> {
    try {
      return await this.#options.access();
    } catch (error) {
      // Being written anew, or gone with its manager: as good as a manager that does not answer.
      this.#lastFailure = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }

  /** Resolves to undefined once the connection is open, else to why it is not. */
  #dial(url: string, secret: string): Promise<ChannelEnd | undefined> {
    const { promise, resolve } = Promise.withResolvers<ChannelEnd | undefined>();
    const handlers = dialChannel<ManagerMessage, WorkerMessage>({ role: "worker", secret }, {
      check: managerMessage,
      refused: resolve,
      handlers: {
        open: (channel) => {
          if (this.#isClosed) channel.close("The worker is closing");
          else this.#open(channel, url);
          resolve(undefined);
        },
        messages: (channel, messages) => this.#hear(channel, messages),
        close: (channel, end) => this.#lose(channel, end),
      },
    });
    this.#dialling = new AbortController();
    const webSocketUrl = `${url.replace(/^http/, "ws")}/worker`;
    connect(webSocketUrl, { handlers, signal: this.#dialling.signal }).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      resolve({ code: 1006, reason });
    });
    return promise;
  }

  #open(channel: Channel<WorkerMessage>, url: string): void {
    this.#channel = channel;
    this.#url = url;
    this.#hasOpened = true;
    this.#roundCount = 0;
    this.#heardAtMs = performance.now();
    this.#spokeAtMs = this.#heardAtMs;
    this.keepAlive(this.#heartbeatMs);
    this.#options.opened();
  }

  #hear(channel: Channel<WorkerMessage>, messages: readonly ManagerMessage[]): void {
    this.#heardAtMs = performance.now();
    const opened: ManagerMessage[] = [];
    for (const message of messages) {
      if (message.kind !== "welcome") {
        opened.push(message);
        continue;
      }
      const transferKey = channel.unseal(message.transferKey);
      if (transferKey === undefined) return channel.close("Cannot unseal the key of the welcome");
      opened.push({ ...message, transferKey });
    }
    this.#options.received(opened);
  }

  #lose(channel: Channel<WorkerMessage>, end: ChannelEnd): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    this.#url = undefined;
    clearInterval(this.#watch);
    this.#lostAtMs = performance.now();
    this.#lastFailure = end.reason || `the connection broke (${end.code})`;
    if (this.#isClosed) return;
    this.#options.closed(this.#lastFailure);
    this.#planRound();
  }

  readonly #look = (): void => {
    const nowMs = performance.now();
    const channel = this.#channel;
    if (channel === undefined) return;
    if (nowMs - this.#heardAtMs > this.#heartbeatMs * MISSED_HEARTBEATS_MAX) {
      // The close may wait for an answer that never comes: the link is lost here and now.
      channel.close("The manager is silent");
      this.#lose(channel, { code: 1006, reason: "the manager was silent for too long" });
    } else if (nowMs - this.#spokeAtMs >= this.#heartbeatMs) {
      this.send([{ kind: "heartbeat" }]);
    }
  };

  #end(kind: LinkEnd["kind"], message: string): void {
    this.close(message);
    this.#options.ended({ kind, message });
  }
}
