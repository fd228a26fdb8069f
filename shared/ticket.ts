/**
 * Tickets: leave to move one file, once declared, from or to one place (DESIGN section 11).
 *
 * A ticket is the HMAC-SHA-256 of its claims under a key that the manager issued to one server
 * alone, so that it can check what the manager allowed without asking. Its text is
 * `CLAIMS.MAC`, both base64url: claims as a JSON list, in the order of `TicketClaims`.
 *
 * A ticket is good for whoever holds it, as often as it is shown, until it expires: a transfer that
 * broke goes on with it. So a GET by somebody else than `destination` cannot be told from an honest
 * one: a server sees no worker behind a request. What limits a replay: one file, of one making, from
 * one server, by one method; a PUT is taken while the manager waits for just that delivery and from
 * one connection at a time, and must have the digest. Tickets travel on authenticated channels and,
 * beyond loopback, in TLS.
 *
 * @module
 */

import { createHmac, timingSafeEqual } from "node:crypto";

import { amount, type Check, integer, name, natural, oneOf, shape, text } from "./message_check.ts";

/** What the manager allows. */
export interface TicketClaims {
  /** Who has the bytes: a worker's id, or the manager's. The server that a GET asks. */
  readonly source: string;
  /** Who gets them: a worker's id, or the manager's. The server that a PUT asks. */
  readonly destination: string;
  readonly method: "GET" | "PUT";
  /** Cache name. */
  readonly name: string;
  readonly generation: number;
  /** -1 when not known. */
  readonly sizeBytes: number;
  /** SHA-256 in hexadecimal; empty when not known. */
  readonly digest: string;
  /** Manager time, epoch milliseconds. */
  readonly expiresAtMs: number;
}

/** The request in hand, as the server that is asked sees it. */
export interface TicketUse {
  /** That server: a worker's id, or the manager's. */
  readonly server: string;
  readonly method: string;
  readonly name: string;
  /** Manager time, epoch milliseconds. */
  readonly nowMs: number;
}

/** Claims that hold, or why there are none; `reason` is for a log, not for the asking side. */
export type TicketVerdict =
  | { readonly kind: "ok"; readonly claims: TicketClaims }
  | { readonly kind: "refused"; readonly reason: string };

/** The scheme in `Authorization: Tendril TICKET`. */
export const TICKET_SCHEME = "Tendril";

/** A ticket's text at most. */
export const TICKET_CHARS_MAX = 4096;

const LABEL = "tendril ticket 1\n";
const MAC_BYTES = 32;

const claimsShape: Check<TicketClaims> = shape<TicketClaims>({
  source: name(256),
  destination: name(256),
  method: oneOf(["GET", "PUT"]),
  name: name(256),
  generation: natural,
  sizeBytes: integer,
  digest: text(64),
  expiresAtMs: amount,
});

/** Writes a ticket under the key of the server that will be asked. */
export function issueTicket(key: Uint8Array, claims: TicketClaims): string {
  const body = Buffer.from(JSON.stringify([
    claims.source,
    claims.destination,
    claims.method,
    claims.name,
    claims.generation,
    claims.sizeBytes,
    claims.digest,
    claims.expiresAtMs,
  ])).toString("base64url");
  return `${body}.${sign(key, body).toString("base64url")}`;
}

/** Says whether `ticket` allows `use`; size and digest are for the caller to hold against bytes. */
export function checkTicket(key: Uint8Array, ticket: string, use: TicketUse): TicketVerdict {
  if (ticket.length > TICKET_CHARS_MAX) return refused("it is too long");
  const [body, mac, ...rest] = ticket.split(".");
  if (!body || !mac || rest.length > 0) return refused("it is not a ticket");
  const given = Buffer.from(mac, "base64url");
  // One text per ticket: base64url has bits that decoders ignore.
  const isCanonical = given.length === MAC_BYTES && given.toString("base64url") === mac;
  if (!isCanonical || !timingSafeEqual(given, sign(key, body))) {
    return refused("it was not issued under this key");
  }
  const claims = readClaims(body);
  if (claims === undefined) return refused("its claims cannot be read");
  const server = claims.method === "GET" ? claims.source : claims.destination;
  if (server !== use.server) return refused(`it is for server "${server}"`);
  if (claims.method !== use.method) return refused(`it is for method ${claims.method}`);
  if (claims.name !== use.name) return refused(`it is for file "${claims.name}"`);
  if (use.nowMs >= claims.expiresAtMs) return refused("it has expired");
  return { kind: "ok", claims };
}

/** The value of an `Authorization` header that carries `ticket`. */
export function ticketHeader(ticket: string): string {
  return `${TICKET_SCHEME} ${ticket}`;
}

/** The ticket in an `Authorization` header, if it carries one. */
export function readTicketHeader(header: string | null | undefined): string | undefined {
  const [scheme, ticket, ...rest] = (header ?? "").split(" ");
  if (scheme?.toLowerCase() !== TICKET_SCHEME.toLowerCase()) return undefined;
  return rest.length === 0 ? ticket : undefined;
}

function sign(key: Uint8Array, body: string): Buffer {
  return createHmac("sha256", key).update(LABEL).update(body).digest();
}

/** Reads claims whose MAC was right; still checked, as a key may be shared by mistake. */
function readClaims(body: string): TicketClaims | undefined {
  try {
    const list: unknown = JSON.parse(Buffer.from(body, "base64url").toString());
    if (!Array.isArray(list) || list.length !== 8) return undefined;
    const [source, destination, method, name, generation, sizeBytes, digest, expiresAtMs] = list;
    const claims: unknown = {
      source,
      destination,
      method,
      name,
      generation,
      sizeBytes,
      digest,
      expiresAtMs,
    };
    return claimsShape(claims) === undefined ? claims as TicketClaims : undefined;
  } catch {
    // JSON.parse throws for what is not JSON: no claims.
    return undefined;
  }
}

function refused(reason: string): TicketVerdict {
  return { kind: "refused", reason: `Cannot use ticket: ${reason}` };
}
