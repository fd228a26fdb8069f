/**
 * How a client makes sure that a server is the one whose certificate it was given.
 *
 * Nothing else is accepted: no authority of the system, no other certificate of the same names,
 * none that has expired or lacks the address that is dialled. Two things differ by runtime.
 * A certificate that an authority has signed is compared byte for byte on Bun; Deno has no hook
 * for that, and takes what that authority signed for the same address. And Deno always trusts its
 * own list of authorities besides (`DENO_TLS_CA_STORE`).
 *
 * @module
 */

import type { X509Certificate } from "node:crypto";

import { namesHost, readChain } from "../certificate.ts";
import { newDirectClient } from "./direct.ts";

/** Thrown when a server is not, or cannot be, the one whose certificate is pinned. */
export class PinError extends Error {
  override readonly name = "PinError";
}

/** What a runtime's `fetch` and `WebSocket` take besides the Web's own options. */
export type PinInit =
  | {
    readonly tls: {
      readonly ca: string;
      /** Said, since NODE_TLS_REJECT_UNAUTHORIZED in the environment would turn it off. */
      readonly rejectUnauthorized: true;
      readonly checkServerIdentity?: (host: string, peer: PeerCertificate) => Error | undefined;
    };
    readonly proxy: false;
  }
  | { readonly client: Deno.HttpClient };

/** What of a server's certificate Bun tells. */
interface PeerCertificate {
  readonly raw: Uint8Array;
}

/** Why connections are made: Deno's HTTP/2 has no Host header, its WebSockets ask for it. */
export type PinUse = "fetch" | "socket";

/** A certificate that is ready for use. */
interface Pin {
  readonly own: X509Certificate;
  readonly inits: Partial<Record<PinUse, PinInit>>;
}

/** Certificates kept ready, least lately used first: one for each peer met, and the manager's. */
const pins = new Map<string, Pin>();
const PINS_MAX = 256;

/** How Deno (rustls) and Bun (BoringSSL) say that a server has another certificate. */
const OTHER_CERTIFICATE = /certificate/i;

/** How they say that what answers speaks no TLS. */
const NO_TLS = /InvalidContentType|WRONG_VERSION_NUMBER|speak TLS/;

/** Options with which only the server of `certificate` is accepted at `url`; throws PinError. */
export function pin(url: string, certificate: string, use: PinUse): PinInit {
  const { protocol, hostname } = new URL(url);
  if (protocol !== "https:" && protocol !== "wss:") {
    throw new PinError(`Cannot reach "${url}" as a server with a certificate: it has no TLS`);
  }
  const { own, inits } = pinOf(url, certificate);
  if (!namesHost(own, hostname)) {
    throw refused(url, `its certificate is for ${own.subjectAltName || "no name"}`);
  }
  if (Date.parse(own.validTo) < Date.now()) {
    throw refused(url, `its certificate expired on ${own.validTo}`);
  }
  return inits[use] ??= newInit(own, certificate, use);
}

/** A PinError for an error that says so of the server; other errors as they are. */
export function pinFailure(url: string, error: unknown): unknown {
  const message = error instanceof Error ? error.message : String(error);
  // A file may be named as these words are.
  const text = message.replaceAll(new URL(url).href, "");
  if (NO_TLS.test(text)) return refused(url, "it speaks no TLS", error);
  if (!OTHER_CERTIFICATE.test(text)) return error;
  return refused(url, "it has another certificate than the one known of it", error);
}

function refused(url: string, found: string, cause?: unknown): PinError {
  return new PinError(`Cannot accept "${url}" as the server that is meant: ${found}`, { cause });
}

function pinOf(url: string, certificate: string): Pin {
  const known = pins.get(certificate);
  pins.delete(certificate);
  const kept = known ?? { own: readOwn(url, certificate), inits: {} };
  pins.set(certificate, kept);
  const [oldest] = pins;
  if (oldest !== undefined && pins.size > PINS_MAX) {
    pins.delete(oldest[0]);
    closePin(oldest[1]);
  }
  return kept;
}

function readOwn(url: string, certificate: string): X509Certificate {
  let cause: unknown;
  try {
    const [own] = readChain(certificate);
    if (own !== undefined) return own;
  } catch (error) {
    cause = error;
  }
  throw refused(url, "what is known of it is no certificate in PEM", cause);
}

function newInit(own: X509Certificate, certificate: string, use: PinUse): PinInit {
  if (!("Bun" in globalThis)) {
    const http2 = use === "socket";
    return { client: newDirectClient({ caCerts: [certificate], http2 }) };
  }
  const tls = { ca: certificate, rejectUnauthorized: true } as const;
  // It stands for itself, and what follows it is nobody's business. Connections are kept.
  if (own.issuer === own.subject) return { tls, proxy: false };
  return {
    tls: {
      ...tls,
      checkServerIdentity: (_host, { raw }) =>
        own.raw.equals(raw) ? undefined : new PinError("it has another certificate"),
    },
    proxy: false,
  };
}

/** Requests under way go on. */
function closePin({ inits }: Pin): void {
  for (const init of Object.values(inits)) {
    if ("client" in init) init.client.close();
  }
}
