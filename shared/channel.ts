/**
 * One authenticated connection that carries messages: handshake, frames, checks and backlog.
 *
 * Whatever the other side does wrong closes this connection with a reason, and touches no other.
 * What cannot be sent yet waits here in order, up to a limit; nothing is dropped in silence.
 *
 * @module
 */

import { decodeFrame, encodeFrame, FRAME_LIMITS, type FrameLimits } from "./codec.ts";
import { FrameError } from "./frame_error.ts";
import {
  type Handshake,
  HANDSHAKE_BYTES_MAX,
  HANDSHAKE_ITEMS_MAX,
  HANDSHAKE_TIMEOUT_MS,
  type HandshakeFault,
  newClientHandshake,
  newServerHandshake,
  type Role,
  type Secrets,
} from "./handshake.ts";
import { type Check, checkMessages } from "./message_check.ts";
import {
  CLOSE_NORMAL,
  CLOSE_TEXT_FRAME,
  CLOSE_TOO_BIG,
  type Socket,
  type SocketHandlers,
} from "./runtime/socket.ts";
import { seal, unseal } from "./seal.ts";

/** The other side sent a frame that breaks the rules. */
export const CLOSE_BAD_FRAME = 4000;
/** The handshake failed, or took too long. */
export const CLOSE_REFUSED = 4001;
/** The other side reads too slowly. */
export const CLOSE_BACKLOG = 4002;

/** Frames that wait behind a socket's own backlog, at most; beyond it the channel closes. */
export const CHANNEL_BYTES_MAX: number = 128 * 1024 * 1024;

/** One open, authenticated connection that sends messages of type `Out`. */
export interface Channel<Out extends Message> {
  readonly role: Role;
  /** False while a backlog waits: whoever makes messages for it should pause until `drain`. */
  readonly isWritable: boolean;
  /** Sends in order; what the other side has read when it breaks is not known (DESIGN 5). */
  send(messages: readonly Out[]): void;
  /** A secret as it may cross this connection, which need not be private. */
  seal(plain: Uint8Array): Uint8Array;
  /** What the other end has sealed; undefined when it has not. */
  unseal(sealed: Uint8Array): Uint8Array | undefined;
  close(reason: string): void;
}

/** What a channel tells its owner. `open` comes first, `close` last. */
export interface ChannelHandlers<In, Out extends Message> {
  open(channel: Channel<Out>): void;
  messages(channel: Channel<Out>, messages: readonly In[]): void;
  drain?(channel: Channel<Out>): void;
  close(channel: Channel<Out>, end: ChannelEnd): void;
}

/** How a connection ended. */
export interface ChannelEnd {
  /** 1006 when it broke. */
  readonly code: number;
  readonly reason: string;
  /** Why it was never opened, when the handshake said so. */
  readonly fault?: HandshakeFault;
}

/** Anything that goes into a frame. */
export interface Message {
  readonly kind: string;
}

/** Why a channel was closed by this end. */
export type ChannelRefusal = "handshake" | "handshake_timeout" | "frame" | "backlog";

/** Who watches over the connections of a server. */
export interface ChannelDoor {
  /** Told of each connection that is turned away. */
  readonly refuse: (kind: ChannelRefusal) => void;
  /** A handshake begins; returns what is called once, when it ends. */
  enter(): () => void;
}

/** What both ends of a channel are given. */
export interface ChannelOptions<In, Out extends Message> {
  readonly handlers: ChannelHandlers<In, Out>;
  /** What the messages of the other side are checked with. */
  readonly check: Check<In>;
  /** Deflates larger frames; of no use on loopback. Default false. */
  readonly compress?: boolean;
  /** Called when the connection ends before `open`. */
  readonly refused?: (end: ChannelEnd) => void;
  /** Default `HANDSHAKE_TIMEOUT_MS`. */
  readonly handshakeTimeoutMs?: number;
  readonly door?: ChannelDoor;
}

/** The server's end of a new connection, which takes the roles that have a secret. */
export function acceptChannel<In, Out extends Message>(
  secrets: Secrets,
  options: ChannelOptions<In, Out>,
): SocketHandlers {
  return newEnd(newServerHandshake(secrets), options);
}

/** The client's end of a new connection. */
export function dialChannel<In, Out extends Message>(
  identity: { readonly role: Role; readonly secret: string },
  options: ChannelOptions<In, Out>,
): SocketHandlers {
  return newEnd(newClientHandshake(identity.role, identity.secret), options);
}

/** Of closes by the runtime. */
const FRAME_CODES: ReadonlySet<number> = new Set([CLOSE_TEXT_FRAME, CLOSE_TOO_BIG]);

const HANDSHAKE_LIMITS: FrameLimits = {
  bytesMax: HANDSHAKE_BYTES_MAX,
  itemsMax: HANDSHAKE_ITEMS_MAX,
};

/** Joins a handshake, and the channel that it opens, to one socket. */
function newEnd<In, Out extends Message>(
  handshake: Handshake,
  options: ChannelOptions<In, Out>,
): SocketHandlers {
  const { handlers, check, door, handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS } = options;
  let channel: SocketChannel<Out> | undefined;
  let fault: HandshakeFault | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let leave: (() => void) | undefined;

  function endHandshake(): void {
    clearTimeout(timer);
    leave?.();
    leave = undefined;
  }

  function refuse(kind: ChannelRefusal, socket: Socket, reason: string): void {
    door?.refuse(kind);
    socket.close(kind === "frame" ? CLOSE_BAD_FRAME : CLOSE_REFUSED, reason);
  }

  function shake(socket: Socket, bytes: Uint8Array): void {
    for (const message of decodeFrame(bytes, HANDSHAKE_LIMITS)) {
      const { send, state } = handshake.receive(message);
      for (const frame of encodeFrame(send, { compress: false })) socket.send(frame);
      if (state.kind === "pending") continue;
      endHandshake();
      if (state.kind === "refused") {
        fault = state.fault;
        return refuse("handshake", socket, state.reason);
      }
      channel = new SocketChannel<Out>(socket, {
        ...state,
        compress: options.compress ?? false,
        onBacklog: () => door?.refuse("backlog"),
      });
      handlers.open(channel);
    }
  }

  return {
    open: (socket) => {
      leave = door?.enter();
      const giveUp = () => refuse("handshake_timeout", socket, "The handshake took too long");
      timer = setTimeout(giveUp, handshakeTimeoutMs);
      for (const frame of encodeFrame(handshake.opening, { compress: false })) socket.send(frame);
    },
    message: (socket, bytes) => {
      let messages: readonly In[];
      try {
        if (channel === undefined) return shake(socket, bytes);
        messages = checkMessages(check, decodeFrame(bytes, FRAME_LIMITS));
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
        return refuse("frame", socket, error.message);
      }
      handlers.messages(channel, messages);
    },
    drain: () => {
      if (channel?.flush()) handlers.drain?.(channel);
    },
    close: (_socket, code, reason) => {
      endHandshake();
      if (FRAME_CODES.has(code)) door?.refuse("frame");
      const end = { code, reason, ...(fault === undefined ? {} : { fault }) };
      if (channel === undefined) options.refused?.(end);
      else handlers.close(channel, end);
    },
  };
}

class SocketChannel<Out extends Message> implements Channel<Out> {
  readonly role: Role;
  readonly #socket: Socket;
  readonly #compress: boolean;
  readonly #sessionKey: Uint8Array;
  /** Frames in order behind the socket's backlog. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isBlocked = false;
  readonly #onBacklog: () => void;

  constructor(
    socket: Socket,
    made: {
      readonly role: Role;
      readonly sessionKey: Uint8Array;
      readonly compress: boolean;
      readonly onBacklog: () => void;
    },
  ) {
    this.#socket = socket;
    this.role = made.role;
    this.#compress = made.compress;
    this.#sessionKey = made.sessionKey;
    this.#onBacklog = made.onBacklog;
  }

  get isWritable(): boolean {
    return !this.#isBlocked;
  }

  send(messages: readonly Out[]): void {
    for (const frame of encodeFrame(messages, { compress: this.#compress })) {
      this.#waiting.push(frame);
      this.#waitingBytes += frame.length;
    }
    if (this.#isBlocked) this.#checkBacklog();
    else this.#sendWaiting();
  }

  seal(plain: Uint8Array): Uint8Array {
    return seal(this.#sessionKey, plain);
  }

  unseal(sealed: Uint8Array): Uint8Array | undefined {
    return unseal(this.#sessionKey, sealed);
  }

  close(reason: string): void {
    this.#socket.close(CLOSE_NORMAL, reason);
  }

  /** Goes on after a drain; true when nothing waits any more. */
  flush(): boolean {
    this.#isBlocked = false;
    this.#sendWaiting();
    return !this.#isBlocked;
  }

  #sendWaiting(): void {
    let sentCount = 0;
    for (const frame of this.#waiting) {
      const result = this.#socket.send(frame);
      // Only a socket that is closed or full drops, and a full one said "backpressure" before.
      if (result === "dropped") return this.#closeDropped();
      sentCount++;
      this.#waitingBytes -= frame.length;
      if (result === "backpressure") {
        this.#isBlocked = true;
        break;
      }
    }
    this.#waiting = sentCount === this.#waiting.length ? [] : this.#waiting.slice(sentCount);
    this.#checkBacklog();
  }

  #checkBacklog(): void {
    if (this.#waitingBytes <= CHANNEL_BYTES_MAX) return;
    this.#onBacklog();
    this.#closeDropped();
  }

  #closeDropped(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#socket.close(CLOSE_BACKLOG, "The backlog is full");
  }
}
