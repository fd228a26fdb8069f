/**
 * A WebSocket whose backlog is visible, alike on a server and a client, on Bun and Deno.
 *
 * Web sockets have no event for a backlog that has gone down, so it is looked at by a timer, which
 * runs only while somebody waits for it. `Bun.serve` has the event, and its own socket (serve.ts).
 *
 * @module
 */

/** What became of a frame. */
export type SendResult =
  | "sent"
  /** Taken, and the last until `drain` says so. */
  | "backpressure"
  /** Not taken: the socket is closed, or its backlog full. What follows must not be sent. */
  | "dropped";

/** One open connection. */
export interface Socket {
  /** Sends a binary frame, or text as a text frame, which browsers' own programs read. */
  send(data: Uint8Array | string): SendResult;
  /** Bytes taken and not yet handed to the system. */
  readonly bufferedBytes: number;
  /** Closes, once; `code` is 1000 or 4000 to 4999, `reason` is cut to what a close frame holds. */
  close(code: number, reason: string): void;
}

/** What a connection tells its owner; nothing after `close`. */
export interface SocketHandlers {
  open?(socket: Socket): void;
  /** One binary frame. */
  message(socket: Socket, bytes: Uint8Array): void;
  /** The backlog is small again, after a `send` that answered `backpressure`. */
  drain?(socket: Socket): void;
  /** Called once for each `open`; `code` is 1006 when the connection broke. */
  close(socket: Socket, code: number, reason: string): void;
}

/** A backlog from here on is backpressure. */
export const BACKLOG_BYTES_HIGH: number = 1024 * 1024;

/** A frame that would make the backlog larger is dropped. */
export const BACKLOG_BYTES_MAX: number = 32 * 1024 * 1024;

/** A frame that arrives at most; `Bun.serve` closes the socket beyond it. */
export const SOCKET_FRAME_BYTES_MAX: number = 16 * 1024 * 1024;

/** Codes of a close; a client may choose 1000 and 4000 to 4999 only, RFC 6455 section 7.4.2. */
export const CLOSE_NORMAL = 1000;
/** Closes on a frame beyond the limit of the runtime; RFC 6455 section 7.4.1. */
export const CLOSE_TOO_BIG = 1009;
/** Closes on a text frame. */
export const CLOSE_TEXT_FRAME = 4003;

/** How often a backlog is looked at while somebody waits for it. */
const DRAIN_POLL_MS = 5;

/** How long an own close waits for the other side's. */
export const CLOSE_WAIT_MS = 2000;

/** Bytes of a reason in a close frame; RFC 6455 section 5.5. */
const CLOSE_REASON_BYTES_MAX = 123;

/** Attaches `handlers` to a Web WebSocket that is about to open. */
export function adoptWebSocket(webSocket: WebSocket, handlers: SocketHandlers): Socket {
  return new WebSocketSocket(webSocket, handlers);
}

/** Cuts `reason` to the bytes that fit a close frame, between characters. */
export function cutReason(reason: string): string {
  const bytes = new TextEncoder().encode(reason);
  if (bytes.length <= CLOSE_REASON_BYTES_MAX) return reason;
  const cut = new TextDecoder().decode(bytes.subarray(0, CLOSE_REASON_BYTES_MAX - 3));
  return `${cut.replace(/\ufffd$/, "")}…`;
}

/** What a frame holds at most: a UTF-16 unit takes up to 3 bytes. */
export function frameBytes(data: Uint8Array | string): number {
  return typeof data === "string" ? data.length * 3 : data.length;
}

class WebSocketSocket implements Socket {
  readonly #webSocket: WebSocket;
  readonly #handlers: SocketHandlers;
  #isOpen = false;
  #drainTimer: ReturnType<typeof setInterval> | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  /** What this side closed with; Deno tells 0 of a close that was not the other side's. */
  #ownClose: { code: number; reason: string } | undefined;

  constructor(webSocket: WebSocket, handlers: SocketHandlers) {
    this.#webSocket = webSocket;
    this.#handlers = handlers;
    webSocket.binaryType = "arraybuffer";
    webSocket.onopen = () => {
      this.#isOpen = true;
      handlers.open?.(this);
    };
    webSocket.onmessage = (event: MessageEvent) => this.#take(event.data);
    webSocket.onclose = (event: CloseEvent) => {
      const { code, reason } = this.#ownClose ?? event;
      this.#end(code, reason);
    };
  }

  get bufferedBytes(): number {
    return this.#webSocket.bufferedAmount;
  }

  send(data: Uint8Array | string): SendResult {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return "dropped";
    if (this.bufferedBytes + frameBytes(data) > BACKLOG_BYTES_MAX) return "dropped";
    this.#webSocket.send(data as Uint8Array<ArrayBuffer> | string);
    if (this.bufferedBytes < BACKLOG_BYTES_HIGH) return "sent";
    this.#drainTimer ??= setInterval(() => this.#lookAtBacklog(), DRAIN_POLL_MS);
    return "backpressure";
  }

  close(code: number, reason: string): void {
    if (this.#webSocket.readyState > WebSocket.OPEN) return;
    clearInterval(this.#drainTimer);
    this.#ownClose = { code, reason };
    this.#webSocket.close(code, cutReason(reason));
    // The other side answers a close, unless it is stuck or gone.
    this.#closeTimer = setTimeout(
      () => this.#end(1006, "The close was not answered"),
      CLOSE_WAIT_MS,
    );
  }

  #take(data: unknown): void {
    if (!this.#isOpen || this.#webSocket.readyState > WebSocket.OPEN) return;
    if (data instanceof ArrayBuffer) this.#handlers.message(this, new Uint8Array(data));
    else this.close(CLOSE_TEXT_FRAME, "Only binary frames are taken");
  }

  #lookAtBacklog(): void {
    if (this.bufferedBytes >= BACKLOG_BYTES_HIGH) return;
    clearInterval(this.#drainTimer);
    this.#drainTimer = undefined;
    this.#handlers.drain?.(this);
  }

  #end(code: number, reason: string): void {
    clearInterval(this.#drainTimer);
    clearTimeout(this.#closeTimer);
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#handlers.close(this, code, reason);
  }
}
