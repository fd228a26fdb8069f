import { expect, test } from "bun:test";

import { readKept, truncationNote } from "../../shared/stream_note.ts";

const encode = (text: string) => new TextEncoder().encode(text);

test("readKept() says where the end of a long output begins", () => {
  const output = encode(`${truncationNote(100, 3)}end`);
  expect(readKept(output)).toEqual({ fromByte: 97, bytes: encode("end") });
});

test("readKept() takes all else as it is, a line that only looks like a note too", () => {
  for (const text of ["", "all of it", `${truncationNote(100, 4)}end`]) {
    expect(readKept(encode(text))).toEqual({ fromByte: 0, bytes: encode(text) });
  }
});
