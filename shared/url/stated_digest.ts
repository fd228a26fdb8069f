/**
 * Digests of contents that a server states in the headers of its answer: `Repr-Digest` (RFC 9530),
 * its forerunner `Digest` (RFC 3230), and `Content-MD5` (RFC 1864), which object stores still send.
 */

import { createHash, type Hash } from "node:crypto";

/** One of the digests that can be checked. */
export interface StatedDigest {
  /** As node:crypto names it. */
  readonly algorithm: "sha512" | "sha256" | "md5";
  /** In hexadecimal. */
  readonly digest: string;
}

const ALGORITHMS: { readonly [name: string]: StatedDigest["algorithm"] } = {
  "sha-512": "sha512",
  "sha-256": "sha256",
  "md5": "md5",
};

/** Bytes of each. */
const LENGTHS = { sha512: 64, sha256: 32, md5: 16 } as const;

/** Best first. */
const ORDER: readonly StatedDigest["algorithm"][] = ["sha256", "sha512", "md5"];

/** The best digest of the whole that an answer states, if there is one that can be read. */
export function statedDigestOf(status: number, headers: Headers): StatedDigest | undefined {
  const stated = [
    ...readList(headers.get("Repr-Digest"), /^([a-z0-9-]+)=:([A-Za-z0-9+/=]+):$/),
    ...readList(headers.get("Digest"), /^([a-z0-9-]+)=([A-Za-z0-9+/=]+)$/),
  ];
  // Of a part, it may be the digest of the part.
  const md5 = status === 200 ? headers.get("Content-MD5") : null;
  if (md5 !== null) stated.push(...read("md5", md5.trim()));
  return stated.sort((a, b) => ORDER.indexOf(a.algorithm) - ORDER.indexOf(b.algorithm))[0];
}

/** Contents on their way, measured beside a digest that was stated of them. */
export class DigestCheck {
  readonly #stated: StatedDigest;
  readonly #hash: Hash;

  constructor(stated: StatedDigest) {
    this.#stated = stated;
    this.#hash = createHash(stated.algorithm);
  }

  /** Takes the next bytes. */
  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }

  /** After the last byte: what is wrong, if something is. */
  fault(): string | undefined {
    const { algorithm, digest } = this.#stated;
    const found = this.#hash.digest("hex");
    if (found === digest) return undefined;
    return `what it sent has ${algorithm} ${found} where it stated ${digest}`;
  }
}

function readList(text: string | null, form: RegExp): StatedDigest[] {
  return (text ?? "").split(",").flatMap((item) => {
    const match = form.exec(item.trim().replace(/^[^=]+/, (name) => name.toLowerCase()));
    return match === null ? [] : read(match[1] ?? "", match[2] ?? "");
  });
}

function read(name: string, base64: string): StatedDigest[] {
  const algorithm = Object.hasOwn(ALGORITHMS, name) ? ALGORITHMS[name] : undefined;
  const bytes = Buffer.from(base64, "base64");
  if (algorithm === undefined || bytes.length !== LENGTHS[algorithm]) return [];
  return [{ algorithm, digest: bytes.toString("hex") }];
}
