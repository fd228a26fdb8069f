/** A connection that proves itself like any other, and then sends whatever bytes a test wants. */

import { decodeFrame, encodeFrame } from "../shared/codec.ts";
import { newClientHandshake, type Role } from "../shared/handshake.ts";
import { connect } from "../shared/runtime/connect.ts";
import type { Socket } from "../shared/runtime/socket.ts";

/** Whom to dial, and as whom. */
export interface RawLinkOptions {
  /** Base url of the server. */
  readonly url: string;
  readonly role: Role;
  readonly secret: string;
  /** Default `/ROLE`. */
  readonly path?: string;
  readonly protocol?: number;
  /** Sent instead of the answer to the challenge. */
  readonly answer?: (challenge: Uint8Array) => Uint8Array;
}

/** How a connection ended. */
export interface RawEnd {
  readonly code: number;
  readonly reason: string;
}

/** One connection. */
export class RawLink {
  /** False when the server did not accept it. */
  isAccepted = false;
  isOpen = true;
  /** Messages after acceptance. */
  readonly heard: { readonly kind: string }[] = [];
  /** All frames that came. */
  readonly frames: Uint8Array[] = [];
  readonly ended: Promise<RawEnd>;
  #socket: Socket | undefined;

  private constructor(ended: Promise<RawEnd>) {
    this.ended = ended;
  }

  /** Dials; resolves when the server has accepted or closed the connection. */
  static async dial(options: RawLinkOptions): Promise<RawLink> {
    const { url, role, secret, path = `/${role}`, protocol } = options;
    const end = Promise.withResolvers<RawEnd>();
    const settled = Promise.withResolvers<void>();
    const link = new RawLink(end.promise);
    const handshake = newClientHandshake(role, secret, protocol);
    const hear = (socket: Socket, bytes: Uint8Array): void => {
      link.frames.push(bytes.slice());
      if (options.answer !== undefined) return void socket.send(options.answer(bytes));
      for (const message of decodeFrame(bytes)) {
        if (link.isAccepted) {
          link.heard.push(message as { readonly kind: string });
          continue;
        }
        const { send, state } = handshake.receive(message);
        if (send.length > 0) socket.send(frameOf(send));
        if (state.kind === "accepted") {
          link.isAccepted = true;
          settled.resolve();
        }
      }
    };
    link.#socket = await connect(`${url.replace("http", "ws")}${path}`, {
      handlers: {
        open: (socket) => socket.send(frameOf(handshake.opening)),
        message: hear,
        close: (_socket, code, reason) => {
          link.isOpen = false;
          end.resolve({ code, reason });
          settled.resolve();
        },
      },
    });
    await settled.promise;
    return link;
  }

  /** Sends bytes as one frame. */
  send(frame: Uint8Array): void {
    this.#socket?.send(frame);
  }

  /** Hangs up. */
  close(): void {
    this.#socket?.close(1000, "The test is over");
  }
}

/** `messages` as one frame. */
export function frameOf(messages: readonly { readonly kind: string }[]): Uint8Array {
  const [frame] = encodeFrame(messages, { compress: false });
  if (frame === undefined) throw new Error("No frame was made");
  return frame;
}
