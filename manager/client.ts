/**
 * A connection to a running manager, from another process: requests, and their answers by id.
 *
 * The requests of one turn of the event loop travel together. When the connection breaks it is
 * dialled again, by every url of the access file, and what was not answered is asked again: every
 * request is such that this does no harm (client_protocol.ts). A manager that has ended is told
 * apart from one that does not take this client.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { clearImmediate, setImmediate } from "node:timers";

import {
  type AccessFile,
  AccessFileError,
  describeClaim,
  describeLack,
  isStale,
} from "../shared/access_file.ts";
import { type Channel, type ChannelEnd, dialChannel } from "../shared/channel.ts";
import type { Role } from "../shared/handshake.ts";
import { redialDelayMs } from "../shared/redial.ts";
import { connect, ConnectError } from "../shared/runtime/connect.ts";
import { PinError } from "../shared/runtime/pin.ts";
import { ClientError } from "./client_error.ts";
import { CLIENT_VERSION, type ClientAnswer, type ClientRequest } from "./client_protocol.ts";
import { clientAnswer } from "./client_shapes.ts";

/** Time for an answer that waits for no task. */
const ANSWER_MS = 60_000;

/** Time for one url to answer: the next one may be the right one. */
const DIAL_MS = 5_000;

/** Time without a connection after which the manager counts as gone. */
const GONE_MS_MAX = 60_000;

/** Silence that is looked into, and how often it may be found before the connection is dead. */
const SILENCE_MS = 10_000;
const SILENT_LOOKS_MAX = 3;

/**
 * Requests that are not answered, and of these the results and files that are waited for; more
 * wait here until some are. Below what the manager takes of one connection (client_link.ts).
 */
const REQUESTS_MAX = 500;
const WAITS_MAX = 48;

/** A request before it has its id. */
export type Question = ClientRequest extends infer Request
  ? Request extends ClientRequest ? Omit<Request, "requestId"> : never
  : never;

/** `{kind of a request: kind of its answer}` */
interface AnswerKinds {
  readonly open: "opened";
  readonly ping: "pong";
  readonly status: "status";
  readonly dashboard: "dashboard";
  readonly declare: "declared";
  readonly undeclare: "done";
  readonly replicate: "done";
  readonly prune: "done";
  readonly fetch: "fetched";
  readonly submit: "submitted";
  readonly wait: "waited";
  readonly result: "result";
  readonly cancel: "cancelled";
  readonly tasks: "tasks";
  readonly workers: "workers";
  readonly libraries: "libraries";
  readonly files: "files";
  readonly calls: "calls";
  readonly logs: "logs";
  readonly explain: "explained";
  readonly follow: "followed";
  readonly unfollow: "done";
  readonly host: "done";
  readonly dismiss: "done";
  readonly tune: "done";
  readonly category: "done";
}

const ANSWER_KINDS: AnswerKinds = {
  open: "opened",
  ping: "pong",
  status: "status",
  dashboard: "dashboard",
  declare: "declared",
  undeclare: "done",
  replicate: "done",
  prune: "done",
  fetch: "fetched",
  submit: "submitted",
  wait: "waited",
  result: "result",
  cancel: "cancelled",
  tasks: "tasks",
  workers: "workers",
  libraries: "libraries",
  files: "files",
  calls: "calls",
  logs: "logs",
  explain: "explained",
  follow: "followed",
  unfollow: "done",
  host: "done",
  dismiss: "done",
  tune: "done",
  category: "done",
};

/** The answer to a request of that kind. */
export type AnswerTo<Kind extends ClientRequest["kind"]> = Extract<
  ClientAnswer,
  { readonly kind: AnswerKinds[Kind] }
>;

/** Answers that come when tasks, or their files, are there: they may take for ever. */
const UNTIMED: readonly ClientRequest["kind"][] = ["wait", "result", "fetch", "follow"];

/** What comes before the answer to a `wait`. */
export type WaitProgress = Pick<
  Extract<ClientAnswer, { kind: "progress" }>,
  "counts" | "failures"
>;

/** How to ask. */
export interface AskOptions {
  /** Called for each `progress` of a `wait`. */
  readonly onProgress?: (progress: WaitProgress) => void;
}

interface Pending {
  readonly request: ClientRequest;
  readonly resolve: (answer: ClientAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((progress: WaitProgress) => void) | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Who asks, and what proves it. */
interface Identity {
  readonly role: Role;
  readonly secret: string;
}

/** Why a url did not lead to an open connection. */
interface DialEnd {
  /** `busy`: another time it may take this client. */
  readonly kind: "silent" | "busy" | "refused";
  readonly url: string;
  readonly reason: string;
}

/** One client of one manager. */
export class ClientConnection implements AsyncDisposable {
  readonly #find: () => Promise<AccessFile>;
  readonly #clientId: string = randomBytes(16).toString("hex");
  /** In the order of their ids, which is the order in which they were asked. */
  readonly #pending: Map<number, Pending> = new Map();
  /** Requests that go with the next frame. */
  #unsent: Pending[] = [];
  /** Requests under way: those that wait for results and files, and all others. */
  #waitCount = 0;
  #askedCount = 0;
  #flushing: ReturnType<typeof setImmediate> | undefined;
  #access: AccessFile;
  #url = "";
  #host = "";
  #channel: Channel<ClientRequest> | undefined;
  #lastId = 0;
  #silentLooks = 0;
  readonly #watch: ReturnType<typeof setInterval>;
  readonly #closing: AbortController = new AbortController();
  /** Why nothing can be asked any more. */
  #end: ClientError | undefined;

  private constructor(find: () => Promise<AccessFile>, access: AccessFile) {
    this.#find = find;
    this.#access = access;
    this.#watch = setInterval(() => this.#look(), SILENCE_MS);
  }

  /** Connects by the access file that `find` gives; it is asked again when the connection breaks. */
  static async open(find: () => Promise<AccessFile>): Promise<ClientConnection> {
    const connection = new ClientConnection(find, await find());
    try {
      const ends = await connection.#dialRound();
      if (ends !== undefined) throw connection.#describe(ends);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Name of the manager. */
  get name(): string {
    return this.#access.name;
  }

  /** The url that answered, of those of the manager. */
  get url(): string {
    return this.#url;
  }

  /** PEM: the only certificate to accept of `url`; undefined when it is no `https:` one. */
  get certificate(): string | undefined {
    return certificateOf(this.#access, this.#url);
  }

  /** Host of the manager, as it calls itself. */
  get host(): string {
    return this.#host;
  }

  /** True when the manager runs on the host of this process. */
  get isLocal(): boolean {
    return this.#host === hostname();
  }

  /**
   * Asks, and gives the answer.
   *
   * @throws {ClientError} When the manager refuses the request, or is gone.
   */
  async ask<Kind extends ClientRequest["kind"]>(
    question: Extract<Question, { readonly kind: Kind }>,
    { onProgress }: AskOptions = {},
  ): Promise<AnswerTo<Kind>> {
    if (this.#end !== undefined) throw this.#end;
    this.#lastId += 1;
    // A question is a request but for its id.
    const request = { ...question, requestId: this.#lastId } as unknown as ClientRequest;
    const { promise, resolve, reject } = Promise.withResolvers<ClientAnswer>();
    const pending: Pending = { request, resolve, reject, onProgress, timer: undefined };
    this.#pending.set(request.requestId, pending);
    this.#unsent.push(pending);
    this.#planFlush();
    const answer = await promise;
    // `#take` lets no answer of another kind through.
    return answer as AnswerTo<Kind>;
  }

  /** Closes the connection; what was not answered fails. Tasks go on. */
  // deno-lint-ignore require-await -- a resource is closed by a promise
  async close(): Promise<void> {
    this.#fail(new ClientError("gone", `Cannot ask manager "${this.name}": this side has closed`));
  }

  /** See `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #planFlush(): void {
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    const channel = this.#channel;
    if (channel === undefined || !channel.isWritable) return;
    const sending: Pending[] = [];
    const waiting: Pending[] = [];
    for (const pending of this.#unsent) {
      const isWait = isWaitOf(pending.request);
      const isTooMany = isWait ? this.#waitCount >= WAITS_MAX : this.#askedCount >= REQUESTS_MAX;
      if (isTooMany) {
        waiting.push(pending);
        continue;
      }
      if (isWait) this.#waitCount += 1;
      else this.#askedCount += 1;
      sending.push(pending);
      this.#startTimer(pending);
    }
    this.#unsent = waiting;
    if (sending.length > 0) channel.send(sending.map(({ request }) => request));
  }

  #startTimer(pending: Pending): void {
    const { kind, requestId } = pending.request;
    if (UNTIMED.includes(kind)) return;
    pending.timer = setTimeout(() => {
      this.#settle(requestId);
      const found = `no answer to "${kind}" within ${ANSWER_MS / 1_000} s`;
      pending.reject(new ClientError("gone", `Cannot ask manager "${this.name}": ${found}`));
    }, ANSWER_MS);
  }

  /** Takes a request off the books; undefined for one that is not there any more. */
  #settle(requestId: number): Pending | undefined {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return undefined;
    this.#pending.delete(requestId);
    clearTimeout(pending.timer);
    if (isWaitOf(pending.request)) this.#waitCount -= 1;
    else this.#askedCount -= 1;
    if (this.#unsent.length > 0) this.#planFlush();
    return pending;
  }

  #take(answer: ClientAnswer): void {
    if (answer.kind === "progress") {
      this.#pending.get(answer.requestId)?.onProgress?.(answer);
      return;
    }
    const pending = this.#settle(answer.requestId);
    // Answers come twice when a request was asked again, or late when it was given up.
    if (pending === undefined) return;
    if (answer.kind === "failed") {
      pending.reject(new ClientError(answer.isUsage ? "usage" : "failed", answer.message));
    } else if (answer.kind === ANSWER_KINDS[pending.request.kind]) {
      pending.resolve(answer);
    } else {
      const found = `it answered "${pending.request.kind}" by "${answer.kind}"`;
      pending.reject(new ClientError("failed", `Cannot ask manager "${this.name}": ${found}`));
    }
  }

  /** A connection that is half open says nothing for ever: a ping makes the other side speak. */
  #look(): void {
    const channel = this.#channel;
    if (channel === undefined) return;
    this.#silentLooks += 1;
    if (this.#silentLooks > SILENT_LOOKS_MAX) {
      this.#lose(channel);
      channel.close("The manager is silent");
    } else if (this.#silentLooks > 1) {
      channel.send([{ kind: "ping", requestId: 0 }]);
    }
  }

  /** What was asked on the connection that broke is to be asked again. */
  #lose(channel: Channel<ClientRequest>): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#unsent = [...this.#pending.values()];
    this.#waitCount = 0;
    this.#askedCount = 0;
    if (this.#end === undefined) void this.#redial();
  }

  async #redial(): Promise<void> {
    const lostAtMs = performance.now();
    for (let round = 0; this.#end === undefined; round += 1) {
      await this.#pause(redialDelayMs(round, Math.random()));
      const ends = await this.#findAgain();
      if (ends === undefined || this.#end !== undefined) return;
      const isRefused = ends.length > 0 && ends.every(({ kind }) => kind === "refused");
      const isOver = performance.now() - lostAtMs > GONE_MS_MAX;
      if (isRefused || isOver || isStale(this.#access)) return this.#fail(this.#describe(ends));
    }
  }

  /** A manager that ends takes its access file with it; one that follows it is another one. */
  async #findAgain(): Promise<readonly DialEnd[] | undefined> {
    let access: AccessFile;
    try {
      access = await this.#find();
      identityOf(access);
    } catch (error) {
      if (isMissing(error)) this.#fail(this.#gone("it has ended", error));
      // Else it is being written anew.
      return [];
    }
    if (access.managerId === this.#access.managerId) {
      this.#access = access;
      return await this.#dialRound();
    }
    this.#fail(this.#gone("it has ended, and another one has its name"));
    return [];
  }

  /** Tries each url once; undefined when one of them opened. */
  async #dialRound(): Promise<readonly DialEnd[] | undefined> {
    const identity = identityOf(this.#access);
    const ends: DialEnd[] = [];
    for (const url of this.#access.urls) {
      const end = await this.#dial(url, identity);
      if (end === undefined || this.#end !== undefined) return undefined;
      ends.push(end);
    }
    return ends;
  }

  async #dial(url: string, identity: Identity): Promise<DialEnd | undefined> {
    const { promise, resolve } = Promise.withResolvers<DialEnd | undefined>();
    let candidate: Channel<ClientRequest> | undefined;
    const fail = ({ reason, fault }: Pick<ChannelEnd, "reason" | "fault">): void => {
      const isRefused = fault !== undefined && fault !== "message";
      const kind = isRefused ? "refused" : candidate === undefined ? "silent" : "busy";
      resolve({ kind, url, reason: reason === "" ? "the connection broke" : reason });
    };
    const abort = new AbortController();
    const giveUp = (): void => {
      fail({ reason: `no answer within ${DIAL_MS / 1_000} s` });
      abort.abort();
    };
    const timer = setTimeout(giveUp, DIAL_MS);
    const handlers = dialChannel<ClientAnswer, ClientRequest>(identity, {
      check: clientAnswer,
      refused: fail,
      handlers: {
        open: (channel) => {
          candidate = channel;
          const { version, clientId } = { version: CLIENT_VERSION, clientId: this.#clientId };
          channel.send([{ kind: "open", requestId: 0, version, clientId }]);
        },
        messages: (channel, messages) => {
          if (this.#channel === channel) return this.#hear(messages);
          const [answer] = messages;
          if (answer?.kind === "failed") resolve({ kind: "refused", url, reason: answer.message });
          if (answer?.kind !== "opened" || abort.signal.aborted || this.#end !== undefined) return;
          this.#adopt(channel, { url, host: answer.host });
          this.#hear(messages.slice(1));
          resolve(undefined);
        },
        drain: () => this.#flush(),
        close: (channel, end) => {
          fail(end);
          this.#lose(channel);
        },
      },
    });
    const { signal } = this.#closing;
    connect(`${url.replace(/^http/, "ws")}/client`, {
      handlers,
      signal: AbortSignal.any([signal, abort.signal]),
      certificate: certificateOf(this.#access, url),
    }).catch((error: unknown) => {
      const kind = error instanceof PinError ? "refused" : "silent";
      const reason = error instanceof ConnectError ? error.found : messageOf(error);
      resolve({ kind, url, reason });
    });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      if (candidate !== undefined && candidate !== this.#channel) candidate.close("Not used");
    }
  }

  #adopt(channel: Channel<ClientRequest>, { url, host }: { url: string; host: string }): void {
    this.#channel = channel;
    this.#url = url;
    this.#host = host;
    this.#flush();
  }

  #hear(answers: readonly ClientAnswer[]): void {
    this.#silentLooks = 0;
    for (const answer of answers) this.#take(answer);
  }

  #describe(ends: readonly DialEnd[]): ClientError {
    const found = ends.map(({ url, reason }) => `${url}: ${reason}`).join("; ");
    const { name, pid } = this.#access;
    if (isStale(this.#access)) return this.#gone(`it has ended: its process ${pid} is gone`);
    const isSilent = ends.every(({ kind }) => kind === "silent");
    const claim = describeClaim(this.#access);
    const where = claim === undefined ? "" : `; ${claim}`;
    if (isSilent) return this.#gone(`nothing answers: ${found || "it has no address"}${where}`);
    return new ClientError("refused", `Cannot ask manager "${name}": it refuses: ${found}`);
  }

  #gone(found: string, cause?: unknown): ClientError {
    const options = cause === undefined ? {} : { cause };
    return new ClientError("gone", `Cannot ask manager "${this.name}": ${found}`, options);
  }

  #fail(error: ClientError): void {
    if (this.#end !== undefined) return;
    this.#end = error;
    clearInterval(this.#watch);
    clearImmediate(this.#flushing);
    this.#closing.abort();
    this.#channel?.close("The client has closed");
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#pending.clear();
    this.#unsent = [];
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const { signal } = this.#closing;
    const wake = (): void => resolve();
    signal.addEventListener("abort", wake, { once: true });
    await promise;
    signal.removeEventListener("abort", wake);
    clearTimeout(timer);
  }
}

/** As what its access file lets a client in: who may only look looks. */
function identityOf(access: AccessFile): Identity {
  const { client, viewer } = access.secrets;
  if (client !== undefined) return { role: "client", secret: client };
  if (viewer !== undefined) return { role: "viewer", secret: viewer };
  const found = describeLack(access, "client");
  throw new ClientError("refused", `Cannot ask manager "${access.name}": ${found}`);
}

/** True when there is no access file (any more). */
function isMissing(error: unknown): boolean {
  const found = error instanceof AccessFileError || !(error instanceof Error) ? error : error.cause;
  return found instanceof AccessFileError && found.code === "missing";
}

/** Many of these are under way at the same time; a `wait` is about all of its tasks. */
function isWaitOf({ kind }: ClientRequest): boolean {
  return kind === "result" || kind === "fetch" || kind === "follow";
}

function certificateOf({ certificate }: AccessFile, url: string): string | undefined {
  return url.startsWith("https:") ? certificate : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
