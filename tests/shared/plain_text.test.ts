import { expect, test } from "bun:test";

import { plainJson, plainText } from "../../shared/plain_text.ts";

/** Moves a cursor, begins a line, turns text around. */
const HOSTILE = "a\u001b[2J\u009b2J\u0085b\r\nc\u2028d\u202ee\u2066f\u{e0041}g\0h\ti";

test("plainText() gives one line that moves no cursor and turns no text around", () => {
  expect(plainText(HOSTILE, 100)).toBe("a[2J2Jb c defgh i");
});

test("plainJson() escapes what a terminal acts on, and says the same", () => {
  for (const indent of [undefined, 2]) {
    const json = plainJson({ [HOSTILE]: [HOSTILE] }, indent);
    expect(json).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    expect(JSON.parse(json)).toEqual({ [HOSTILE]: [HOSTILE] });
  }
});
