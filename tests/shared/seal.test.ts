/** Sealing: only the same key opens, and nothing of the plain bytes shows. */

import { randomBytes } from "node:crypto";

import { expect, test } from "bun:test";

import { seal, SEAL_BYTES, SEAL_KEY_BYTES, unseal } from "../../shared/seal.ts";

const KEY = new Uint8Array(randomBytes(SEAL_KEY_BYTES));
const PLAIN = new Uint8Array(randomBytes(32));

test("unseal() gives back what was sealed under the same key", () => {
  const sealed = seal(KEY, PLAIN);
  expect(sealed.length).toBe(PLAIN.length + SEAL_BYTES);
  expect(unseal(KEY, sealed)).toEqual(PLAIN);
});

test("seal() never makes the same text twice, nor one that holds the plain bytes", () => {
  const [one, other] = [seal(KEY, PLAIN), seal(KEY, PLAIN)];
  expect(one).not.toEqual(other);
  expect(Buffer.from(one).includes(PLAIN)).toBe(false);
});

test("unseal() refuses another key, a changed bit anywhere, and less than a seal", () => {
  const sealed = seal(KEY, PLAIN);
  expect(unseal(new Uint8Array(randomBytes(SEAL_KEY_BYTES)), sealed)).toBeUndefined();
  for (let index = 0; index < sealed.length; index++) {
    const changed = sealed.slice();
    changed[index] = (changed[index] ?? 0) ^ 1;
    expect(unseal(KEY, changed)).toBeUndefined();
  }
  for (const length of [0, 1, SEAL_BYTES - 1, sealed.length - 1]) {
    expect(unseal(KEY, sealed.subarray(0, length))).toBeUndefined();
  }
});
