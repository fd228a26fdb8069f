/**
 * Serves a hono app, and WebSockets below it, on Bun or Deno.
 *
 * hono's own upgrade helpers hide the raw socket and with it the backlog; here a route upgrades
 * with `upgradeSocket`, and its handlers get a `Socket`. Loopback unless another host is named.
 *
 * @module
 */

import type { Context, Handler } from "hono";

import type { KeyPair } from "../certificate.ts";
import { DenoGate } from "./deno_gate.ts";
import { refuseHead, TIME_LIMITS, type TimeLimits } from "./request_limits.ts";
import {
  adoptWebSocket,
  BACKLOG_BYTES_HIGH,
  BACKLOG_BYTES_MAX,
  CLOSE_NORMAL,
  CLOSE_TEXT_FRAME,
  CLOSE_TOO_BIG,
  cutReason,
  frameBytes,
  type SendResult,
  type Socket,
  SOCKET_FRAME_BYTES_MAX,
  type SocketHandlers,
} from "./socket.ts";

/** Where to listen. */
export interface ServeOptions {
  /** An address of this machine; default 127.0.0.1. */
  readonly hostname?: string;
  /** Default 0: the kernel chooses. */
  readonly port?: number;
  /** Serves `https:` and `wss:`, and nothing in plain; both are PEM. */
  readonly tls?: KeyPair | undefined;
  /** Told of what was turned away before the app saw it, where the runtime says so. */
  readonly refused?: (kind: ServeRefusal) => void;
  /** Default `TIME_LIMITS`. */
  readonly limits?: TimeLimits;
}

/** Why a connection or a request was turned away here. */
export type ServeRefusal =
  /** Cut: too many, or nothing came of it. */
  | "connection"
  /** An upgrade by a page of another origin. */
  | "origin"
  /** Beyond the limits of a head, or no handshake where one is wanted. */
  | "request";

/** A listening server. */
export interface Server {
  readonly hostname: string;
  /** The port listened on. */
  readonly port: number;
  /** Requests under way; 0 on Deno, which does not tell. */
  readonly requestCount: number;
  /** Cuts every connection and stops listening. */
  close(): Promise<void>;
}

/** What of a hono app a server needs. */
export interface App {
  fetch(request: Request, env?: object): Response | Promise<Response>;
}

const LOOPBACK = "127.0.0.1";

/** A transfer of any size may be PUT; limits are those of its ticket. */
const BODY_BYTES_MAX: number = Number.MAX_SAFE_INTEGER;

/** What Bun's server is told, with 1006, when it has told the other side `CLOSE_TOO_BIG`. */
const BUN_TOO_BIG = "Received too big message";

/** A server on Deno that ended is started again after this long. */
const RESTART_MS = 100;

/** What is under way when a server closes is cut after this long. */
const CLOSE_MS = 1000;

/** What differs by runtime, and travels in hono's `env`. */
interface Host {
  upgrade(request: Request, handlers: SocketHandlers): Response | undefined;
  /** Sets after how many seconds of silence the connection of `request` is cut; 0 is never. */
  limitSilence(request: Request, seconds: number): void;
  readonly refused: (kind: ServeRefusal) => void;
  readonly limits: TimeLimits;
}

/** Starts serving `app`; throws when the address cannot be listened on. */
export function serve(app: App, options: ServeOptions = {}): Server {
  const { hostname = LOOPBACK, port = 0, refused = () => {}, limits = TIME_LIMITS } = options;
  const place = { hostname, port, refused, limits, tls: options.tls };
  return "Bun" in globalThis ? serveOnBun(app, place) : serveOnDeno(app, place);
}

/** Lets the body of this request, or of its response, be silent for as long as a transfer may. */
export function beginTransfer(context: Context): void {
  const host = context.env as Host;
  host.limitSilence(context.req.raw, host.limits.silenceS);
}

/** Lets the body of this request be silent: whoever reads it has a limit of its own. */
export function beginUpload(context: Context): void {
  (context.env as Host).limitSilence(context.req.raw, 0);
}

/** The body was read: from here on the connection has the limits of any other. */
export function endUpload(context: Context): void {
  const host = context.env as Host;
  host.limitSilence(context.req.raw, host.limits.headS);
}

/**
 * A route that upgrades to a WebSocket with the handlers that `accept` gives, or answers with the
 * response that it gives.
 *
 * A browser always says where a page comes from (`Origin`), and nothing else has to: a page of
 * another host is refused, as it could otherwise act in the name of whoever looks at it.
 */
export function upgradeSocket(accept: (context: Context) => SocketHandlers | Response): Handler {
  return (context) => {
    const host = context.env as Host;
    if (context.req.header("upgrade")?.toLowerCase() !== "websocket") {
      host.refused("request");
      return context.text("This address is for WebSockets", 426, { upgrade: "websocket" });
    }
    if (!isOwnOrigin(context.req.raw)) {
      host.refused("origin");
      return context.text("Pages of another origin are not served", 403);
    }
    const accepted = accept(context);
    if (accepted instanceof Response) return accepted;
    const response = host.upgrade(context.req.raw, accepted);
    if (response !== undefined) return response;
    host.refused("request");
    return context.text("This is not a WebSocket handshake", 400);
  };
}

/** False for a request that a page of another host makes. */
export function isOwnOrigin({ headers }: Request): boolean {
  const origin = headers.get("origin");
  if (origin === null) return true;
  // "null", which sandboxed pages send, is no URL.
  return URL.canParse(origin) && new URL(origin).host === headers.get("host");
}

/** What both servers do with a request. */
async function answer(app: App, request: Request, host: Host): Promise<Response> {
  const tooLarge = refuseHead(request);
  if (tooLarge !== undefined) host.refused("request");
  const response = tooLarge ?? await app.fetch(request, host);
  // What was refused is not read; nor is what follows it taken for another request.
  if (response.status >= 400) response.headers.set("connection", "close");
  return response;
}

/** Where and how a server listens. */
type Place = Required<ServeOptions>;

interface BunSocketData {
  readonly handlers: SocketHandlers;
  socket: BunSocket | undefined;
}

function serveOnBun(app: App, { hostname, port, refused, limits, tls }: Place): Server {
  const server = Bun.serve<BunSocketData>({
    hostname,
    port,
    ...(tls === undefined ? {} : { tls: { cert: tls.certificate, key: tls.key } }),
    // For a head, and between two requests; a transfer gets more (`beginTransfer`).
    idleTimeout: limits.headS,
    maxRequestBodySize: BODY_BYTES_MAX,
    development: false,
    // True outside development: a second server would share the port, and take half of its calls.
    reusePort: false,
    fetch: (request, server) => {
      const host: Host = {
        refused,
        limits,
        upgrade: (request, handlers) => {
          const data: BunSocketData = { handlers, socket: undefined };
          return server.upgrade(request, { data }) ? new Response(null) : undefined;
        },
        limitSilence: (request, seconds) => server.timeout(request, seconds),
      };
      return answer(app, request, host);
    },
    websocket: {
      // Heartbeats find dead peers.
      idleTimeout: 0,
      maxPayloadLength: SOCKET_FRAME_BYTES_MAX,
      backpressureLimit: BACKLOG_BYTES_MAX,
      perMessageDeflate: false,
      open: (raw) => {
        raw.data.socket = new BunSocket(raw);
        raw.data.handlers.open?.(raw.data.socket);
      },
      message: (raw, message) => {
        const { handlers, socket } = raw.data;
        if (socket === undefined || socket.isClosing) return;
        if (typeof message === "string") {
          socket.close(CLOSE_TEXT_FRAME, "Only binary frames are taken");
          return;
        }
        const { buffer, byteOffset, length } = message;
        handlers.message(socket, new Uint8Array(buffer, byteOffset, length));
      },
      drain: (raw) => {
        const { handlers, socket } = raw.data;
        if (socket === undefined || socket.isClosing) return;
        if (socket.takeDrain()) handlers.drain?.(socket);
      },
      close: (raw, code, reason) => {
        const { handlers, socket } = raw.data;
        if (socket === undefined) return;
        const isTooBig = reason === BUN_TOO_BIG;
        const end = socket.ownClose ?? { code: isTooBig ? CLOSE_TOO_BIG : code, reason };
        handlers.close(socket, end.code, end.reason);
      },
    },
  });
  return {
    hostname,
    port: server.port ?? port,
    get requestCount() {
      return server.pendingRequests;
    },
    close: () => server.stop(true),
  };
}

class BunSocket implements Socket {
  readonly #raw: Bun.ServerWebSocket<BunSocketData>;
  #isWaiting = false;
  isClosing = false;
  /** What this side closed with; Bun tells 1006 when the other side did not answer it. */
  ownClose: { readonly code: number; readonly reason: string } | undefined;

  constructor(raw: Bun.ServerWebSocket<BunSocketData>) {
    this.#raw = raw;
  }

  get bufferedBytes(): number {
    return this.#raw.getBufferedAmount();
  }

  send(data: Uint8Array | string): SendResult {
    if (this.isClosing) return "dropped";
    if (this.bufferedBytes + frameBytes(data) > BACKLOG_BYTES_MAX) return "dropped";
    // -1: taken, into the backlog. 0: dropped. Else the bytes sent.
    const result = this.#raw.send(data);
    if (result === 0) return "dropped";
    if (this.bufferedBytes < BACKLOG_BYTES_HIGH) return "sent";
    this.#isWaiting = true;
    return "backpressure";
  }

  close(code: number, reason: string): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.ownClose = { code, reason };
    this.#raw.close(code, cutReason(reason));
  }

  /** True once after backpressure, when the backlog is small again. */
  takeDrain(): boolean {
    if (!this.#isWaiting || this.bufferedBytes >= BACKLOG_BYTES_HIGH) return false;
    this.#isWaiting = false;
    return true;
  }
}

function serveOnDeno(app: App, place: Place): Server {
  const { hostname, refused, limits } = place;
  const sockets = new Set<Socket>();
  const host: Host = {
    refused,
    limits,
    upgrade: (request, handlers) => {
      if (!request.headers.has("sec-websocket-key")) return undefined;
      const { response, socket } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
      adoptWebSocket(socket, tracked(sockets, handlers));
      return response;
    },
    // The gate cuts what stands still.
    limitSilence: () => {},
  };
  const gate = new DenoGate(place);
  const stop = new AbortController();
  let server = start();

  function start(): Deno.HttpServer {
    const started = Deno.serve(
      { path: gate.path, signal: stop.signal, onListen: () => {} },
      (request) => answer(app, request, host),
    );
    // Deno's server ends for good when the process is out of descriptors for a moment.
    started.finished.catch(() => {
      setTimeout(() => {
        if (!stop.signal.aborted) server = start();
      }, RESTART_MS);
    });
    return started;
  }

  gate.open();
  return {
    hostname,
    port: gate.port,
    requestCount: 0,
    close: async () => {
      for (const socket of sockets) socket.close(CLOSE_NORMAL, "The server is closing");
      stop.abort();
      const cut = setTimeout(() => gate.close(), CLOSE_MS);
      await server.finished.catch(() => {
        // It ended before: nothing is left to wait for.
      });
      clearTimeout(cut);
      gate.close();
    },
  };
}

/** `handlers` that also keep `sockets` up to date, as Deno does not know its upgraded ones. */
function tracked(sockets: Set<Socket>, handlers: SocketHandlers): SocketHandlers {
  return {
    open: (socket) => {
      sockets.add(socket);
      handlers.open?.(socket);
    },
    message: (socket, bytes) => handlers.message(socket, bytes),
    drain: (socket) => handlers.drain?.(socket),
    close: (socket, code, reason) => {
      sockets.delete(socket);
      handlers.close(socket, code, reason);
    },
  };
}
