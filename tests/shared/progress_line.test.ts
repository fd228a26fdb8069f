import { expect, test } from "bun:test";

import { ProgressLine } from "../../shared/progress_line.ts";

function screen(isTTY: boolean, columns?: number) {
  const written: string[] = [];
  return { isTTY, columns, written, write: (text: string) => void written.push(text) };
}

test("ProgressLine redraws what has changed, cut to the terminal, and clears it", () => {
  const terminal = screen(true, 10);
  const line = new ProgressLine(terminal, { beforeOutput: () => () => {} });
  for (const text of ["first", "first", "a line that is too long"]) line.show(text);
  line[Symbol.dispose]();
  expect(terminal.written).toEqual(["first", "\r\x1b[K", "a line th", "\r\x1b[K"]);
});

test("ProgressLine writes to a log now and then, the first line when it was told to", () => {
  const [later, atOnce] = [screen(false), screen(false)];
  using one = new ProgressLine(later);
  using other = new ProgressLine(atOnce, { firstLineMs: 0 });
  for (const text of ["first", "second"]) {
    one.show(text);
    other.show(text);
  }
  expect([later.written, atOnce.written]).toEqual([[], ["first\n"]]);
});
