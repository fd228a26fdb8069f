/**
 * Connections of command lines and other clients: requests with ids, and their answers.
 *
 * Requests of one connection are taken in order, and no further one while its answers wait to be
 * read: what one client holds here is bounded. Who answers them is not looked at here.
 *
 * @module
 */

import { AssertionError } from "../shared/assert.ts";
import { acceptChannel, type Channel } from "../shared/channel.ts";
import { FrameError } from "../shared/frame_error.ts";
import type { Role } from "../shared/handshake.ts";
import type { SocketHandlers } from "../shared/runtime/socket.ts";
import { CLIENT_VERSION, type ClientAnswer, type ClientRequest } from "./client_protocol.ts";
import { clientRequest } from "./client_shapes.ts";
import type { Door } from "./door.ts";

/** Clients at the same time. */
const CLIENTS_MAX = 1000;

/** Requests of one connection that are not answered yet; beyond it the connection closes. */
const REQUESTS_MAX = 1000;

/** Of these, those that wait for tasks or files. */
const WAITS_MAX = 64;

/** A connection that has not said `open` after this long is closed. */
const OPEN_TIMEOUT_MS = 10_000;

/** A client that does not read its answers for this long is closed. */
const BACKLOG_TIMEOUT_MS = 30_000;

/** A client says something more often, if only `ping`: one that does not is gone. */
const SILENCE_MS_MAX = 60_000;

/** Of a message that says why a request failed. */
const MESSAGE_CHARS_MAX = 4000;

/** A request after `open`. */
export type ClientWish = Exclude<ClientRequest, { readonly kind: "open" }>;

/** Who asks, and how it is told more than its answer. */
export interface Asker {
  readonly clientId: string;
  readonly role: Role;
  /** Aborts when nobody reads the answer any more. */
  readonly signal: AbortSignal;
  /** Sends what comes before the answer; dropped while the client does not read. */
  readonly tell: (progress: ClientAnswer) => void;
}

/** What answers requests. */
export interface ClientDesk {
  /**
   * The answer, or a promise of it. A TypeError or RangeError is the client's mistake, any other
   * error is not: both become `failed`.
   */
  answer(wish: ClientWish, asker: Asker): ClientAnswer | Promise<ClientAnswer>;
  /** A connection of that client was opened, or closed. */
  joined(clientId: string): void;
  left(clientId: string): void;
}

/** What links are made of. */
export interface ClientLinksOptions {
  /** Of this machine, told to clients. */
  readonly host: string;
  readonly secrets: { readonly client?: string; readonly viewer?: string };
  readonly desk: ClientDesk;
  readonly door: Door;
  /** Told of a bug in the manager. */
  readonly onBug: (error: unknown) => void;
  /** Default `BACKLOG_TIMEOUT_MS`. */
  readonly backlogTimeoutMs?: number;
  /** Default `OPEN_TIMEOUT_MS`. */
  readonly openTimeoutMs?: number;
  /** Default `SILENCE_MS_MAX`. */
  readonly silenceMsMax?: number;
}

/** What those may ask who only look on. */
const VIEWER_KINDS: ReadonlySet<ClientRequest["kind"]> = new Set([
  "ping",
  "status",
  "dashboard",
  "tasks",
  "workers",
  "libraries",
  "files",
  "calls",
  "logs",
  "explain",
  "follow",
  "unfollow",
  "wait",
  "result",
]);

/** What may take as long as tasks do. */
const WAIT_KINDS: ReadonlySet<ClientRequest["kind"]> = new Set([
  "wait",
  "result",
  "fetch",
  "follow",
]);

/** What must be done before the next request is looked at, which may be about the same tasks. */
const SERIAL_KINDS: ReadonlySet<ClientRequest["kind"]> = new Set(["submit", "cancel"]);

/** All connections of clients to one manager. */
export class ClientLinks {
  readonly #options: ClientLinksOptions;
  readonly #links: Set<ClientLink> = new Set();

  constructor(options: ClientLinksOptions) {
    this.#options = options;
  }

  /** The manager's end of a new connection. */
  accept(): SocketHandlers {
    const { client, viewer } = this.#options.secrets;
    let link: ClientLink | undefined;
    return acceptChannel<ClientRequest, ClientAnswer>(
      { ...(client === undefined ? {} : { client }), ...(viewer === undefined ? {} : { viewer }) },
      {
        check: clientRequest,
        door: this.#options.door,
        handlers: {
          open: (channel) => {
            if (this.#links.size >= CLIENTS_MAX) {
              this.#options.door.refuse("connection");
              return channel.close(`The manager takes ${CLIENTS_MAX} clients at most`);
            }
            link = new ClientLink(channel, this.#options);
            this.#links.add(link);
          },
          messages: (_channel, requests) => link?.hear(requests),
          drain: () => link?.drained(),
          close: () => {
            if (link === undefined) return;
            this.#links.delete(link);
            link.ended();
          },
        },
      },
    );
  }

  /** Closes all connections. */
  close(): void {
    for (const link of this.#links) link.close("The manager is closing");
  }
}

/** One connection. */
class ClientLink {
  readonly #channel: Channel<ClientAnswer>;
  readonly #options: ClientLinksOptions;
  readonly #role: Role;
  readonly #abort: AbortController = new AbortController();
  /** Requests that have not been looked at. */
  readonly #queue: ClientRequest[] = [];
  readonly #openTimer: ReturnType<typeof setTimeout>;
  readonly #watch: ReturnType<typeof setInterval>;
  /** Nothing was heard since the last look. */
  #isSilent = false;
  #backlogTimer: ReturnType<typeof setTimeout> | undefined;
  #asker: Asker | undefined;
  /** Requests that were looked at and are not answered. */
  #askedCount = 0;
  #waitCount = 0;
  /** A serial request is under way. */
  #isBusy = false;

  constructor(channel: Channel<ClientAnswer>, options: ClientLinksOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#role = channel.role;
    const { openTimeoutMs = OPEN_TIMEOUT_MS } = options;
    this.#openTimer = setTimeout(() => {
      options.door.refuse("handshake_timeout");
      this.close(`Nothing was asked within ${openTimeoutMs} ms`);
    }, openTimeoutMs);
    this.#watch = setInterval(() => this.#look(), (options.silenceMsMax ?? SILENCE_MS_MAX) / 2);
  }

  hear(requests: readonly ClientRequest[]): void {
    if (this.#abort.signal.aborted) return;
    this.#isSilent = false;
    if (this.#queue.length + this.#askedCount + requests.length > REQUESTS_MAX) {
      this.#options.door.refuse("flood");
      return this.close(`The manager takes ${REQUESTS_MAX} requests at a time`);
    }
    this.#queue.push(...requests);
    this.#work();
  }

  drained(): void {
    clearTimeout(this.#backlogTimer);
    this.#backlogTimer = undefined;
    this.#work();
  }

  /** The connection is closed: nobody reads what is still to be answered. */
  ended(): void {
    clearTimeout(this.#openTimer);
    clearInterval(this.#watch);
    clearTimeout(this.#backlogTimer);
    this.#queue.length = 0;
    if (!this.#abort.signal.aborted) this.#abort.abort();
    if (this.#asker !== undefined) this.#options.desk.left(this.#asker.clientId);
    this.#asker = undefined;
  }

  close(reason: string): void {
    this.#queue.length = 0;
    this.#abort.abort();
    this.#channel.close(reason);
  }

  /** The other side of a connection that is half open is not there to close it. */
  #look(): void {
    if (this.#isSilent) {
      this.close("The client is silent");
      this.ended();
    }
    this.#isSilent = true;
  }

  #work(): void {
    while (!this.#isBusy && this.#channel.isWritable && !this.#abort.signal.aborted) {
      const request = this.#queue.shift();
      if (request === undefined) return;
      this.#take(request);
    }
  }

  #take(request: ClientRequest): void {
    if (request.kind === "open") return this.#open(request);
    if (this.#asker === undefined) {
      this.#refuse(request, `Cannot take request "${request.kind}" before open`);
      return this.close("The first request must be open");
    }
    if (this.#role === "viewer" && !VIEWER_KINDS.has(request.kind)) {
      const { kind } = request;
      return this.#refuse(request, `Cannot take request "${kind}" of a viewer: it may only look`);
    }
    if (WAIT_KINDS.has(request.kind) && this.#waitCount >= WAITS_MAX) {
      return this.#refuse(request, `Cannot wait for more than ${WAITS_MAX} things at a time`);
    }
    this.#ask(request, this.#asker);
  }

  #open(request: Extract<ClientRequest, { kind: "open" }>): void {
    const { requestId, version, clientId } = request;
    if (version !== CLIENT_VERSION) {
      const message = `Cannot serve a client of version ${version}: this manager's is ` +
        `${CLIENT_VERSION}; use the same version of tendril on both sides`;
      this.#refuse(request, message);
      return this.close(message);
    }
    if (this.#asker !== undefined) {
      return this.#refuse(request, "Cannot take open a second time on one connection");
    }
    clearTimeout(this.#openTimer);
    this.#asker = {
      clientId,
      role: this.#role,
      signal: this.#abort.signal,
      tell: (progress) => {
        if (this.#channel.isWritable) this.#send(progress);
      },
    };
    this.#options.desk.joined(clientId);
    this.#send({ kind: "opened", requestId, host: this.#options.host });
  }

  #ask(wish: ClientWish, asker: Asker): void {
    let answer: ClientAnswer | Promise<ClientAnswer>;
    try {
      answer = this.#options.desk.answer(wish, asker);
    } catch (error) {
      return this.#fail(wish, error);
    }
    if (!(answer instanceof Promise)) return this.#send(answer);
    const isWait = WAIT_KINDS.has(wish.kind);
    const isSerial = SERIAL_KINDS.has(wish.kind);
    this.#askedCount += 1;
    if (isWait) this.#waitCount += 1;
    if (isSerial) this.#isBusy = true;
    answer.then((found) => this.#send(found), (error: unknown) => this.#fail(wish, error))
      .finally(() => {
        this.#askedCount -= 1;
        if (isWait) this.#waitCount -= 1;
        if (isSerial) this.#isBusy = false;
        this.#work();
      });
  }

  #fail(wish: ClientWish, error: unknown): void {
    if (error instanceof AssertionError) return this.#options.onBug(error);
    const isUsage = error instanceof TypeError || error instanceof RangeError;
    this.#refuse(wish, error instanceof Error ? error.message : String(error), isUsage);
  }

  #refuse({ requestId }: ClientRequest, message: string, isUsage: boolean = true): void {
    if (isUsage) this.#options.door.refuse("client_request");
    this.#send({
      kind: "failed",
      requestId,
      message: message.slice(0, MESSAGE_CHARS_MAX),
      isUsage,
    });
  }

  #send(answer: ClientAnswer): void {
    if (this.#abort.signal.aborted) return;
    try {
      this.#channel.send([answer]);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      const { requestId } = answer;
      const message = `Cannot send the answer: ${error.message}`;
      this.#channel.send([{ kind: "failed", requestId, message, isUsage: false }]);
    }
    if (this.#channel.isWritable || this.#backlogTimer !== undefined) return;
    const { door, backlogTimeoutMs = BACKLOG_TIMEOUT_MS } = this.#options;
    this.#backlogTimer = setTimeout(() => {
      door.refuse("backlog");
      this.close("The client does not read its answers");
    }, backlogTimeoutMs);
  }
}
