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
import {
  adoptWebSocket,
  BACKLOG_BYTES_HIGH,
  BACKLOG_BYTES_MAX,
  CLOSE_NORMAL,
  CLOSE_TEXT_FRAME,
  cutReason,
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
}

/** A listening server. */
export interface Server {
  readonly hostname: string;
  /** The port listened on. */
  readonly port: number;
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

/** What upgrades a request: it differs by runtime, and travels in hono's `env`. */
interface Upgrader {
  upgrade(request: Request, handlers: SocketHandlers): Response | undefined;
}

/** Starts serving `app`; throws when the address cannot be listened on. */
export function serve(app: App, options: ServeOptions = {}): Server {
  const address = { hostname: options.hostname ?? LOOPBACK, port: options.port ?? 0 };
  const { tls } = options;
  return "Bun" in globalThis ? serveOnBun(app, address, tls) : serveOnDeno(app, address, tls);
}

/**
 * A route that upgrades to a WebSocket with the handlers that `accept` gives.
 *
 * A browser always says where a page comes from (`Origin`), and nothing else has to: a page of
 * another host is refused, as it could otherwise act in the name of whoever looks at it.
 */
export function upgradeSocket(accept: (context: Context) => SocketHandlers): Handler {
  return (context) => {
    if (context.req.header("upgrade")?.toLowerCase() !== "websocket") {
      return context.text("This address is for WebSockets", 426);
    }
    if (!isOwnOrigin(context.req.header("origin"), context.req.header("host"))) {
      return context.text("Pages of another origin are not served", 403);
    }
    const upgrader = context.env as Upgrader;
    const response = upgrader.upgrade(context.req.raw, accept(context));
    return response ?? context.text("This is not a WebSocket handshake", 400);
  };
}

function isOwnOrigin(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return true;
  // "null", which sandboxed pages send, is no URL.
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** Where a server listens. */
interface Address {
  readonly hostname: string;
  readonly port: number;
}

interface BunSocketData {
  readonly handlers: SocketHandlers;
  socket: BunSocket | undefined;
}

function serveOnBun(app: App, { hostname, port }: Address, tls: KeyPair | undefined): Server {
  const server = Bun.serve<BunSocketData>({
    hostname,
    port,
    ...(tls === undefined ? {} : { tls: { cert: tls.certificate, key: tls.key } }),
    // 0 is never: a stream may be silent while its source works; heartbeats find dead peers.
    idleTimeout: 0,
    maxRequestBodySize: BODY_BYTES_MAX,
    development: false,
    fetch: (request, server) => {
      const upgrader: Upgrader = {
        upgrade: (request, handlers) => {
          const data: BunSocketData = { handlers, socket: undefined };
          return server.upgrade(request, { data }) ? new Response(null) : undefined;
        },
      };
      return app.fetch(request, upgrader);
    },
    websocket: {
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
        if (socket !== undefined) handlers.close(socket, code, reason);
      },
    },
  });
  return { hostname, port: server.port ?? port, close: () => server.stop(true) };
}

class BunSocket implements Socket {
  readonly #raw: Bun.ServerWebSocket<BunSocketData>;
  #isWaiting = false;
  isClosing = false;

  constructor(raw: Bun.ServerWebSocket<BunSocketData>) {
    this.#raw = raw;
  }

  get bufferedBytes(): number {
    return this.#raw.getBufferedAmount();
  }

  send(bytes: Uint8Array): SendResult {
    if (this.isClosing) return "dropped";
    if (this.bufferedBytes + bytes.length > BACKLOG_BYTES_MAX) return "dropped";
    // -1: taken, into the backlog. 0: dropped. Else the bytes sent.
    const result = this.#raw.send(bytes);
    if (result === 0) return "dropped";
    if (this.bufferedBytes < BACKLOG_BYTES_HIGH) return "sent";
    this.#isWaiting = true;
    return "backpressure";
  }

  close(code: number, reason: string): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.#raw.close(code, cutReason(reason));
  }

  /** True once after backpressure, when the backlog is small again. */
  takeDrain(): boolean {
    if (!this.#isWaiting || this.bufferedBytes >= BACKLOG_BYTES_HIGH) return false;
    this.#isWaiting = false;
    return true;
  }
}

function serveOnDeno(app: App, { hostname, port }: Address, tls: KeyPair | undefined): Server {
  const sockets = new Set<Socket>();
  const upgrader: Upgrader = {
    upgrade: (request, handlers) => {
      if (!request.headers.has("sec-websocket-key")) return undefined;
      const { response, socket } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
      adoptWebSocket(socket, tracked(sockets, handlers));
      return response;
    },
  };
  const stop = new AbortController();
  const server = Deno.serve(
    {
      hostname,
      port,
      ...(tls === undefined ? {} : { cert: tls.certificate, key: tls.key }),
      signal: stop.signal,
      onListen: () => {},
    },
    (request) => app.fetch(request, upgrader),
  );
  return {
    hostname,
    port: server.addr.port,
    close: async () => {
      for (const socket of sockets) socket.close(CLOSE_NORMAL, "The server is closing");
      stop.abort();
      await server.finished;
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
