/**
 * The connection to the manager: dialled by the worker, kept alive, dialled again when it
 * breaks. It carries messages and says when it opens and closes; what a break means for tries and
 * files is the core's business.
 *
 * @module
 */

import { type Channel, type ChannelEnd, dialChannel } from "../shared/channel.ts";
import { leanWorkerMessages } from "../shared/lean_message.ts";
import { managerMessage } from "../shared/message_shapes.ts";
import type { ManagerMessage, WorkerMessage } from "../shared/protocol.ts";
import { redialDelayMs } from "../shared/redial.ts";
import { connect, ConnectError } from "../shared/runtime/connect.ts";
import type { ManagerAccess } from "./manager_finder.ts";

/** Why no further connection is tried. */
export interface LinkEnd {
  /** `refused` by the manager, `unmet` when none ever came, `gone` when there is none any more. */
  readonly kind: "refused" | "unmet" | "gone";
  /** One line for a person. */
  readonly message: string;
}

/** What a link is made of. */
export interface ManagerLinkOptions {
  /** As messages name it. */
  readonly manager: string;
  /** Read before each round of dialling: a manager that starts again has another address. */
  readonly access: () => Promise<ManagerAccess>;
  /** Has `changed` called when `access` may have another answer; else it is found out later. */
  readonly watch: (changed: () => void) => Disposable;
  /** Makes ready for a manager before it is dialled; must not fail. */
  readonly prepare: (access: ManagerAccess) => Promise<void>;
  /** Time without a manager after which the link gives up. */
  readonly goneMsMax: number;
  /** Told once of each time without a manager, and why. */
  readonly waiting: (reason: string) => void;
  readonly opened: () => void;
  readonly received: (messages: readonly ManagerMessage[]) => void;
  readonly closed: (reason: string) => void;
  readonly ended: (end: LinkEnd) => void;
  /** What is to be said of refusals with the next heartbeat. */
  readonly takeRefused: () => number;
}

/** How an address or a round of them failed. */
interface DialFailure {
  /** `absent`: there is nothing to dial; `silent`: nobody opens; `refused`: somebody says no. */
  readonly kind: "absent" | "silent" | "refused";
  /** A clause for a person. */
  readonly reason: string;
}

/** Rounds that fail in a row before a worker that was connected says that it waits. */
const QUIET_ROUNDS = 3;

/** After a change of the access file workers dial within this time, not all at once. */
const CHANGE_SPREAD_MS = 500;

/** An address that does not answer after this long is passed over for the next one. */
const DIAL_MS_MAX = 4_000;

/** Addresses tried in a round. */
const DIAL_URLS_MAX = 16;

/** Of an address' failure, what a message holds. */
const REASON_CHARS_MAX = 160;

/** Until the manager states its own. */
const HEARTBEAT_MS = 5_000;

/** Heartbeats that may be missed before the connection counts as dead. */
const MISSED_HEARTBEATS_MAX = 4;

/** How often silence is looked at, in heartbeats. */
const LOOKS_PER_HEARTBEAT = 4;

/** Owner of the connection and its timers. */
export class ManagerLink {
  readonly #options: ManagerLinkOptions;
  readonly #accessWatch: Disposable;
  #channel: Channel<WorkerMessage> | undefined;
  /** The manager that is connected, by the address that was dialled. */
  #connected: { readonly url: string; readonly certificate: string | undefined } | undefined;
  /** Address by which a manager was last connected: dialled first while it is listed. */
  #lastUrl: string | undefined;
  #heartbeatMs = HEARTBEAT_MS;
  #heardAtMs = 0;
  #spokeAtMs = 0;
  #watch: ReturnType<typeof setInterval> | undefined;
  #redial: ReturnType<typeof setTimeout> | undefined;
  #redialAtMs = Infinity;
  /** The round under way; aborted when its addresses are not those of the manager any more. */
  #round: AbortController | undefined;
  /** What the round under way dials. */
  #dialled: ManagerAccess | undefined;
  #hasChanged = false;
  /** Rounds planned since a manager was last met, or its access file changed. */
  #roundCount = 0;
  #hasSaidWaiting = false;
  /** Instant of the last moment with a manager. */
  #lostAtMs: number;
  /** A manager has taken this worker in, once at least. */
  #hasJoined = false;
  /** The one that is connected has. */
  #isJoined = false;
  #isClosed = false;
  #lastFailure = "";
  #identity: string | undefined;
  /** The manager that has no more use for this worker: it is not dialled again. */
  #releasedBy: string | undefined;
  #releaseReason = "";

  constructor(options: ManagerLinkOptions) {
    this.#options = options;
    this.#lostAtMs = performance.now();
    this.#accessWatch = options.watch(this.#changed);
    this.#planRound();
  }

  /** Base url of the manager that is connected. */
  get managerUrl(): string | undefined {
    return this.#connected?.url;
  }

  /** PEM, of the manager that is connected: the only certificate to accept of it. */
  get managerCertificate(): string | undefined {
    return this.#connected?.certificate;
  }

  /** Sends in order; what is sent while there is no connection is dropped, as `hello` repairs it. */
  send(messages: readonly WorkerMessage[]): void {
    if (this.#channel === undefined) return;
    this.#spokeAtMs = performance.now();
    this.#channel.send(leanWorkerMessages(messages));
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
    this.#releaseReason = reason.slice(0, REASON_CHARS_MAX);
    this.#channel?.close(reason);
  }

  /** Closes the connection and dials no more. */
  close(reason: string): void {
    this.#isClosed = true;
    this.#accessWatch[Symbol.dispose]();
    this.#round?.abort();
    clearTimeout(this.#redial);
    clearInterval(this.#watch);
    this.#channel?.close(reason);
  }

  [Symbol.dispose](): void {
    this.close("The worker is closing");
  }

  #planRound(): void {
    const delayMs = redialDelayMs(this.#roundCount, Math.random());
    this.#roundCount += 1;
    const leftMs = this.#options.goneMsMax - (performance.now() - this.#lostAtMs);
    this.#planRoundIn(Math.max(0, Math.min(delayMs, leftMs)));
  }

  #planRoundIn(delayMs: number): void {
    clearTimeout(this.#redial);
    this.#redialAtMs = performance.now() + delayMs;
    this.#redial = setTimeout(() => void this.#dialRound(), delayMs);
  }

  /** There may be another manager to dial, or the same one elsewhere. */
  readonly #changed = (): void => {
    if (this.#isClosed || this.#channel !== undefined) return;
    this.#roundCount = 0;
    if (this.#round !== undefined) {
      this.#hasChanged = true;
      void this.#checkRound(this.#round);
      return;
    }
    const delayMs = CHANGE_SPREAD_MS * Math.random();
    if (performance.now() + delayMs < this.#redialAtMs) this.#planRoundIn(delayMs);
  };

  /** Ends a round that dials what nobody listens on any more. */
  async #checkRound(round: AbortController): Promise<void> {
    const access = await this.#readAccess();
    if (this.#dialled === undefined || access === undefined) return;
    if (JSON.stringify(access) !== JSON.stringify(this.#dialled)) round.abort();
  }

  /** Tries each address once; opens, plans the next round, or ends the link. */
  async #dialRound(): Promise<void> {
    const round = new AbortController();
    this.#round = round;
    this.#redialAtMs = Infinity;
    this.#hasChanged = false;
    const failure = await this.#tryManager(round.signal);
    this.#round = undefined;
    this.#dialled = undefined;
    if (failure === undefined || this.#isClosed) return;
    this.#lastFailure = failure.reason;
    const { manager, goneMsMax } = this.#options;
    // A worker that outlives its manager may meet a stranger at the old address for a while.
    if (failure.kind === "refused" && !this.#hasJoined && !this.#hasChanged) {
      return this.#end("refused", `Cannot join ${manager}: it refuses: ${failure.reason}`);
    }
    const goneMs = performance.now() - this.#lostAtMs;
    if (goneMs >= goneMsMax) return this.#giveUp(goneMs);
    if (!this.#hasSaidWaiting && (!this.#hasJoined || this.#roundCount >= QUIET_ROUNDS)) {
      this.#hasSaidWaiting = true;
      this.#options.waiting(failure.reason);
    }
    if (this.#hasChanged) this.#planRoundIn(CHANGE_SPREAD_MS * Math.random());
    else this.#planRound();
  }

  #giveUp(goneMs: number): void {
    const { manager } = this.#options;
    const seconds = Math.round(goneMs / 1000);
    if (this.#hasJoined) {
      return this.#end("gone", `No manager for ${seconds} s: ${this.#lastFailure}`);
    }
    this.#end("unmet", `Cannot join ${manager}: waited ${seconds} s for it: ${this.#lastFailure}`);
  }

  /** Resolves to undefined once a connection is open. */
  async #tryManager(signal: AbortSignal): Promise<DialFailure | undefined> {
    const access = await this.#readAccess();
    if (access === undefined) return { kind: "absent", reason: this.#lastFailure };
    if (access.identity === this.#releasedBy) {
      const reason =
        `it has let this worker go (${this.#releaseReason}), and no other has its name`;
      return { kind: "absent", reason };
    }
    await this.#options.prepare(access);
    this.#dialled = access;
    this.#identity = access.identity;
    const failures: string[] = [];
    let refusal: string | undefined;
    for (const url of orderUrls(access.urls, this.#lastUrl).slice(0, DIAL_URLS_MAX)) {
      if (this.#isClosed || signal.aborted) break;
      const end = await this.#dial(url, access, signal);
      if (end === undefined) return undefined;
      failures.push(`${url}: ${end.reason.slice(0, REASON_CHARS_MAX)}`);
      if (end.fault !== undefined && end.fault !== "message") refusal ??= end.reason;
    }
    if (refusal !== undefined && access.ended === undefined) {
      return { kind: "refused", reason: refusal };
    }
    const ended = access.ended === undefined ? "" : `${access.ended}, and `;
    const claim = access.claim === undefined ? "" : `; ${access.claim}`;
    const reason = `${ended}nobody answers for it (${failures.join("; ")})${claim}`;
    return { kind: "silent", reason };
  }

  async #readAccess(): Promise<ManagerAccess | undefined> {
    try {
      return await this.#options.access();
    } catch (error) {
      // Being written anew, or gone with its manager: as good as a manager that does not answer.
      this.#lastFailure = messageOf(error);
      return undefined;
    }
  }

  /** Resolves to undefined once the connection is open, else to why it is not. */
  #dial(
    url: string,
    { secret, certificate }: ManagerAccess,
    signal: AbortSignal,
  ): Promise<ChannelEnd | undefined> {
    const { promise, resolve } = Promise.withResolvers<ChannelEnd | undefined>();
    const handlers = dialChannel<ManagerMessage, WorkerMessage>({ role: "worker", secret }, {
      check: managerMessage,
      handshakeTimeoutMs: DIAL_MS_MAX,
      refused: resolve,
      handlers: {
        open: (channel) => {
          if (this.#isClosed || signal.aborted) {
            channel.close("The worker dials another manager");
            resolve({ code: 1006, reason: "given up" });
          } else {
            this.#open(channel, { url, certificate });
            resolve(undefined);
          }
        },
        messages: (channel, messages) => this.#hear(channel, messages),
        close: (channel, end) => this.#lose(channel, end),
      },
    });
    const webSocketUrl = `${url.replace(/^http/, "ws")}/worker`;
    connect(webSocketUrl, { handlers, certificate, signal, timeoutMs: DIAL_MS_MAX })
      .catch((error: unknown) => {
        const reason = error instanceof ConnectError ? error.found : messageOf(error);
        resolve({ code: 1006, reason });
      });
    return promise;
  }

  #open(
    channel: Channel<WorkerMessage>,
    connected: { readonly url: string; readonly certificate: string | undefined },
  ): void {
    this.#channel = channel;
    this.#connected = connected;
    this.#isJoined = false;
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
      this.#join();
    }
    this.#options.received(opened);
  }

  /** The manager has taken the hello: one that hangs up on it is dialled ever less often. */
  #join(): void {
    this.#hasJoined = true;
    this.#isJoined = true;
    this.#hasSaidWaiting = false;
    this.#lastUrl = this.#connected?.url;
    this.#roundCount = 0;
  }

  #lose(channel: Channel<WorkerMessage>, end: ChannelEnd): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    this.#connected = undefined;
    clearInterval(this.#watch);
    // Only a manager that has taken this worker in counts as one.
    if (this.#isJoined) this.#lostAtMs = performance.now();
    this.#lastFailure = end.reason || `the connection broke (${end.code})`;
    if (this.#isClosed) return;
    this.#options.closed(this.#lastFailure);
    if (!this.#isJoined && end.reason !== "" && !this.#hasSaidWaiting) {
      // What it said of the hello: nobody would know why this worker does nothing.
      this.#hasSaidWaiting = true;
      this.#options.waiting(`it answers, and takes no hello: ${end.reason}`);
    }
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
      return;
    }
    const refused = this.#options.takeRefused();
    if (refused > 0) this.send([{ kind: "heartbeat", refused }]);
    else if (nowMs - this.#spokeAtMs >= this.#heartbeatMs) this.send([{ kind: "heartbeat" }]);
  };

  #end(kind: LinkEnd["kind"], message: string): void {
    this.close(message);
    this.#options.ended({ kind, message });
  }
}

/**
 * `urls` with the one that worked last in front; a manager that started again may listen on
 * another port of the same host.
 */
function orderUrls(urls: readonly string[], last: string | undefined): readonly string[] {
  if (last === undefined) return urls;
  const hostOf = (url: string) => URL.canParse(url) ? new URL(url).hostname : "";
  const rank = (url: string) => url === last ? 0 : hostOf(url) === hostOf(last) ? 1 : 2;
  return urls.toSorted((a, b) => rank(a) - rank(b));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
