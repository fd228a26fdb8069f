/** Frames of the handshake, as whoever attacks it makes and reads them. */

import { randomBytes } from "node:crypto";

import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import { frameOf } from "../raw_link.ts";

/** The hello of whoever claims that role. */
export function authHello(role: string, protocol: number = PROTOCOL_VERSION): Uint8Array {
  const nonce = new Uint8Array(randomBytes(32));
  return frameOf([{ kind: "auth_hello", protocol, role, nonce } as { kind: string }]);
}

/** An answer to the challenge. */
export function authAnswer(proof: Uint8Array): Uint8Array {
  return frameOf([{ kind: "auth_answer", proof } as { kind: string }]);
}

/** The bytes of a frame, to look for words in them. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
