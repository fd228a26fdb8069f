/**
 * The mutual challenge and response that opens every connection (DESIGN section 11).
 *
 *     client                                   server
 *     auth_hello {protocol, role, nonce}   →
 *                                          ←   auth_challenge {nonce, proof of the server}
 *     auth_answer {proof of the client}    →
 *                                          ←   auth_accepted
 *
 * A proof is HMAC-SHA-256 over who proves, protocol, role and both nonces, under the role's
 * secret. The server proves first, so a client tells a stranger nothing; the label of who proves
 * makes a reflected proof worthless, the nonces a replayed one. The secret never crosses the wire.
 * From secret and nonces both sides also derive the key of this one connection, under which other
 * secrets are sealed (seal.ts).
 *
 * State machines without a socket or a clock: the shell sends, waits and closes (channel.ts).
 *
 * @module
 */

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

import { bytes, type Check, kinds, name, natural, oneOf, text } from "./message_check.ts";
import { PROTOCOL_VERSION } from "./protocol.ts";

/** What a connection may do: run tasks, give orders, or look on. */
export type Role = "worker" | "client" | "viewer";

/** Every role. */
export const ROLES: readonly Role[] = ["worker", "client", "viewer"];

/** A role without an entry is refused. Texts as `newSecret` makes them. */
export type Secrets = { readonly [R in Role]?: string };

/** A connection that is not accepted after this long is closed. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** A frame at most, before acceptance. */
export const HANDSHAKE_BYTES_MAX = 4096;

/** Items in a frame at most, before acceptance; the largest message has 9. */
export const HANDSHAKE_ITEMS_MAX = 16;

/** A message of the handshake. */
export type HandshakeMessage =
  | {
    readonly kind: "auth_hello";
    readonly protocol: number;
    readonly role: string;
    readonly nonce: Uint8Array;
  }
  | { readonly kind: "auth_challenge"; readonly nonce: Uint8Array; readonly proof: Uint8Array }
  | { readonly kind: "auth_answer"; readonly proof: Uint8Array }
  | { readonly kind: "auth_accepted" }
  | { readonly kind: "auth_refused"; readonly fault: HandshakeFault; readonly reason: string };

/** Why a handshake failed; with another version, or a wrong secret, a retry is useless. */
export type HandshakeFault = "protocol" | "secret" | "role" | "message";

/** What a message led to. After `accepted` or `refused` the handshake takes no more. */
export type HandshakeState =
  | { readonly kind: "pending" }
  /** `sessionKey` is the same at both ends, and of this connection alone. */
  | { readonly kind: "accepted"; readonly role: Role; readonly sessionKey: Uint8Array }
  /** `reason` is a sentence for a log or a person. */
  | { readonly kind: "refused"; readonly fault: HandshakeFault; readonly reason: string };

/** What the shell does next: send, then go by the state. */
export interface HandshakeStep {
  readonly send: readonly HandshakeMessage[];
  readonly state: HandshakeState;
}

/** One side of one handshake. */
export interface Handshake {
  /** What to send at once; a server waits. */
  readonly opening: readonly HandshakeMessage[];
  /** Takes the next message of the other side, unchecked. */
  receive(message: unknown): HandshakeStep;
}

const NONCE_BYTES = 32;
const PROOF_BYTES = 32;
const REASON_CHARS_MAX = 512;

/** What an HMAC of the transcript is good for. */
type Purpose = "server" | "client" | "session key";

interface Transcript {
  readonly role: Role;
  readonly clientNonce: Uint8Array;
  readonly serverNonce: Uint8Array;
}

const handshakeMessage: Check<HandshakeMessage> = kinds<HandshakeMessage>({
  auth_hello: { protocol: natural, role: name(32), nonce: bytes(NONCE_BYTES) },
  auth_challenge: { nonce: bytes(NONCE_BYTES), proof: bytes(PROOF_BYTES) },
  auth_answer: { proof: bytes(PROOF_BYTES) },
  auth_accepted: {},
  auth_refused: {
    fault: oneOf<HandshakeFault>(["protocol", "secret", "role", "message"]),
    reason: text(REASON_CHARS_MAX),
  },
});

/** A new secret: 256 random bits as text. */
export function newSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** The server's side of one connection; it refuses by telling the other side why. */
export function newServerHandshake(
  secrets: Secrets,
  protocol: number = PROTOCOL_VERSION,
): Handshake {
  let transcript: Transcript | undefined;
  let isOver = false;

  function receive(message: unknown): HandshakeStep {
    if (isOver) return refuse("message", "The handshake is over");
    const failure = handshakeMessage(message);
    if (failure !== undefined) return refuse("message", `Cannot take message: message${failure}`);
    const known = message as HandshakeMessage;
    if (known.kind === "auth_hello" && transcript === undefined) return challenge(known);
    if (known.kind === "auth_answer" && transcript !== undefined) {
      return judge(transcript, known.proof);
    }
    return refuse("message", `Cannot take message "${known.kind}" at this point of a handshake`);
  }

  function challenge(hello: HandshakeMessage & { kind: "auth_hello" }): HandshakeStep {
    if (hello.protocol !== protocol) return refuse("protocol", mismatch(protocol, hello.protocol));
    if (hello.nonce.length !== NONCE_BYTES) return refuse("message", "The nonce is too short");
    const role = ROLES.find((known) => known === hello.role);
    const secret = role === undefined ? undefined : secrets[role];
    if (role === undefined || !secret) {
      return refuse("role", "The role is not one that this manager takes");
    }
    transcript = { role, clientNonce: hello.nonce, serverNonce: randomBytes(NONCE_BYTES) };
    const proof = prove(secret, "server", { transcript, protocol });
    const nonce = transcript.serverNonce;
    return { send: [{ kind: "auth_challenge", nonce, proof }], state: { kind: "pending" } };
  }

  function judge(known: Transcript, proof: Uint8Array): HandshakeStep {
    const secret = secrets[known.role] ?? "";
    const wanted = prove(secret, "client", { transcript: known, protocol });
    if (!isSame(proof, wanted)) return refuse("secret", `The ${known.role} secret is not ours`);
    isOver = true;
    const sessionKey = prove(secret, "session key", { transcript: known, protocol });
    const state = { kind: "accepted", role: known.role, sessionKey } as const;
    return { send: [{ kind: "auth_accepted" }], state };
  }

  function refuse(fault: HandshakeFault, reason: string): HandshakeStep {
    isOver = true;
    return {
      send: [{ kind: "auth_refused", fault, reason }],
      state: { kind: "refused", fault, reason },
    };
  }

  return { opening: [], receive };
}

/** The client's side of one connection, be it a worker, a command line or a viewer. */
export function newClientHandshake(
  role: Role,
  secret: string,
  protocol: number = PROTOCOL_VERSION,
): Handshake {
  const clientNonce = randomBytes(NONCE_BYTES);
  let phase: "challenge" | "acceptance" | "over" = "challenge";
  let sessionKey: Uint8Array | undefined;

  function receive(message: unknown): HandshakeStep {
    if (phase === "over") return refuse("message", "The handshake is over");
    const failure = handshakeMessage(message);
    if (failure !== undefined) return refuse("message", `Cannot take message: message${failure}`);
    const known = message as HandshakeMessage;
    if (known.kind === "auth_refused") return refuse(known.fault, known.reason);
    if (known.kind === "auth_challenge" && phase === "challenge") return answer(known);
    if (known.kind === "auth_accepted" && phase === "acceptance" && sessionKey !== undefined) {
      phase = "over";
      return { send: [], state: { kind: "accepted", role, sessionKey } };
    }
    return refuse("message", `Cannot take message "${known.kind}" at this point of a handshake`);
  }

  function answer(challenge: HandshakeMessage & { kind: "auth_challenge" }): HandshakeStep {
    const transcript = { role, clientNonce, serverNonce: challenge.nonce };
    const wanted = prove(secret, "server", { transcript, protocol });
    if (challenge.nonce.length !== NONCE_BYTES || !isSame(challenge.proof, wanted)) {
      return refuse("secret", `The manager does not know our ${role} secret`);
    }
    phase = "acceptance";
    sessionKey = prove(secret, "session key", { transcript, protocol });
    const proof = prove(secret, "client", { transcript, protocol });
    return { send: [{ kind: "auth_answer", proof }], state: { kind: "pending" } };
  }

  function refuse(fault: HandshakeFault, reason: string): HandshakeStep {
    phase = "over";
    return { send: [], state: { kind: "refused", fault, reason } };
  }

  return {
    opening: [{ kind: "auth_hello", protocol, role, nonce: clientNonce }],
    receive,
  };
}

/**
 * The HMAC for `purpose` under `secret`, of whoever proves or for the key; every part of it has a
 * fixed length or ends with its line.
 */
function prove(
  secret: string,
  purpose: Purpose,
  about: { readonly transcript: Transcript; readonly protocol: number },
): Uint8Array {
  const { role, clientNonce, serverNonce } = about.transcript;
  const label = `tendril handshake\n${purpose}\n${about.protocol}\n${role}\n`;
  return createHmac("sha256", secret).update(label).update(clientNonce).update(serverNonce)
    .digest();
}

/** Compares in a time that does not depend on where the two differ. */
function isSame(given: Uint8Array, wanted: Uint8Array): boolean {
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function mismatch(manager: number, other: number): string {
  return `Cannot speak protocol ${other} with a manager of protocol ${manager}: ` +
    "use the same version of tendril on both sides";
}
