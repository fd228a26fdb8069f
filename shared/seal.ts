/**
 * Seals a short secret for one connection, so that it may cross a wire that others can read.
 *
 * AES-256-GCM (NIST SP 800-38D) under the session key that both ends of a handshake derive
 * (handshake.ts). Its text is the 12 bytes of the IV, which is random, the sealed bytes as long as
 * the plain ones, and the 16 bytes of the tag.
 *
 * @module
 */

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

/** Bytes of a key that seals. */
export const SEAL_KEY_BYTES = 32;

/** What sealing adds. */
export const SEAL_BYTES: number = 12 + 16;

const IV_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";

/** The sealed form of `plain`. */
export function seal(key: Uint8Array, plain: Uint8Array): Uint8Array {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv);
  const body = [iv, cipher.update(plain), cipher.final()];
  return new Uint8Array(Buffer.concat([...body, cipher.getAuthTag()]));
}

/** What was sealed under that key; undefined when `sealed` was not. */
export function unseal(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < SEAL_BYTES) return undefined;
  const tagAt = sealed.length - TAG_BYTES;
  const opener = createDecipheriv(CIPHER, key, sealed.subarray(0, IV_BYTES));
  opener.setAuthTag(sealed.subarray(tagAt));
  const body = opener.update(sealed.subarray(IV_BYTES, tagAt));
  try {
    return new Uint8Array(Buffer.concat([body, opener.final()]));
  } catch {
    // The tag is not that of these bytes under this key: sealed by someone else, or damaged.
    return undefined;
  }
}
