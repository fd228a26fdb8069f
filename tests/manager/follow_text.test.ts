import { expect, test } from "bun:test";

import { followTexts, readTarget } from "../../manager/follow_text.ts";
import type { FollowPart } from "../../manager/follower.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** A part of the first try. */
function part(text: string | Uint8Array, more: Partial<FollowPart> = {}): FollowPart {
  const bytes = typeof text === "string" ? encode(text) : text;
  return { try: 1, atByte: 0, skippedBytes: 0, ...more, bytes };
}

async function textOf(...parts: FollowPart[]): Promise<string> {
  async function* come(): AsyncGenerator<FollowPart> {
    yield* parts;
  }
  let all = "";
  for await (const text of followTexts(come())) all += text;
  return all;
}

test("followTexts() joins a character that came in two parts, and drops half of one after a gap", async () => {
  const bytes = encode("ä€");
  expect(
    await textOf(part(bytes.subarray(0, 1)), part(bytes.subarray(1, 3)), part(bytes.subarray(3))),
  )
    .toBe("ä€");
  expect(await textOf(part("a\n"), part(bytes.subarray(1), { skippedBytes: 9 })))
    .toBe("a\n[… 9 bytes skipped]\n€");
});

test("followTexts() says on lines of their own what was skipped, and that a try is another", async () => {
  expect(await textOf(part("half"), part("b", { skippedBytes: 2 }), part("c", { try: 2 })))
    .toBe("half\n[… 2 bytes skipped]\nb\n[… try 2]\nc");
  expect(await textOf(part("c", { try: 2, skippedBytes: 5 }))).toBe("[… 5 bytes skipped]\nc");
});

test("followTexts() says why a file is not followed any more", async () => {
  expect(await textOf(part("a"), part("", { stopped: "shrunk" })))
    .toBe("a\n[… not followed any more: the file was cut short]\n");
});

test("readTarget() tells streams from mounts, and refuses what is neither", () => {
  expect(readTarget("stdout")).toEqual({ kind: "stream", stream: "stdout" });
  expect(readTarget("out/log")).toEqual({ kind: "mount", mount: "out/log" });
  expect(readTarget({ mount: "stdout" })).toEqual({ kind: "mount", mount: "stdout" });
  for (const wrong of ["", "/etc/passwd", "../x", 7, undefined, { mount: "a/../b" }]) {
    expect(() => readTarget(wrong)).toThrow(TypeError);
  }
});
