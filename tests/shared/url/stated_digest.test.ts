import { expect, test } from "bun:test";
import { createHash } from "node:crypto";

import { DigestCheck, statedDigestOf } from "../../../shared/url/stated_digest.ts";

const CONTENTS = new TextEncoder().encode("contents");

function digestOf(algorithm: string, encoding: "hex" | "base64"): string {
  return createHash(algorithm).update(CONTENTS).digest(encoding);
}

const [SHA256, MD5] = [digestOf("sha256", "base64"), digestOf("md5", "base64")];

test("statedDigestOf() reads the headers of RFC 9530, RFC 3230 and RFC 1864", () => {
  const sha256 = { algorithm: "sha256", digest: digestOf("sha256", "hex") } as const;
  const read = (headers: Record<string, string>, status = 200) =>
    statedDigestOf(status, new Headers(headers));
  const md5 = { algorithm: "md5", digest: digestOf("md5", "hex") } as const;
  expect(read({ "Repr-Digest": `md5=:${MD5}:, sha-256=:${SHA256}:` })).toEqual(sha256);
  expect(read({ "Digest": `crc32=1, SHA-256=${SHA256}` })).toEqual(sha256);
  expect(read({ "Content-MD5": MD5 })).toEqual(md5);
  // It may be that of the part.
  expect(read({ "Content-MD5": MD5 }, 206)).toBeUndefined();
  expect(read({ "Content-MD5": SHA256, "Digest": "sha-256=x" })).toBeUndefined();
  expect(read({ "Digest": `constructor=${SHA256}` })).toBeUndefined();
});

test("DigestCheck says both digests of other contents", () => {
  const stated = { algorithm: "md5", digest: digestOf("md5", "hex") } as const;
  const good = new DigestCheck(stated);
  good.update(CONTENTS);
  expect(good.fault()).toBeUndefined();
  expect(new DigestCheck(stated).fault()).toBe(
    `what it sent has md5 d41d8cd98f00b204e9800998ecf8427e where it stated ${stated.digest}`,
  );
});
