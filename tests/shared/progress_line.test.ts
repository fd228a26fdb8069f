import { expect, test } from "bun:test";

import { ProgressLine } from "../../shared/progress_line.ts";
import type { ClearLine } from "../../shared/terminal.ts";
import { Screen } from "../screen.ts";

const nobodyElse = () => () => {};

test("ProgressLine redraws what has changed, cut to the terminal, and clears it", () => {
  const terminal = new Screen({ columns: 10 });
  const line = new ProgressLine(terminal, { beforeOutput: nobodyElse });
  line.show("a line that is too long");
  expect(terminal.lines()).toEqual(["a line t…"]);
  line.show("木木木木木");
  expect(terminal.lines()).toEqual(["木木木木…"]);
  line.show("first");
  const { length } = terminal.text;
  line.show("first");
  expect(terminal.text).toHaveLength(length);
  expect(terminal.lines()).toEqual(["first"]);
  line[Symbol.dispose]();
  expect(terminal.lines()).toEqual([]);
});

test("ProgressLine fits the terminal anew, and removes all rows of what was too long for it", () => {
  const terminal = new Screen({ columns: 20 });
  using line = new ProgressLine(terminal, { beforeOutput: nobodyElse });
  const fit = (columns: number) => [{ text: "x".repeat(columns) }];
  line.show(fit);
  terminal.columns = 10;
  terminal.text = "";
  line.show(fit);
  expect(terminal.text).toBe(`\r\x1b[J\r${"x".repeat(9)}\x1b[K\r`);
});

test("ProgressLine keeps out of lines that others have begun, and prints above itself", () => {
  const terminal = new Screen();
  let clear: ClearLine = () => {};
  using line = new ProgressLine(terminal, {
    beforeOutput: (clearLine) => {
      clear = clearLine;
      return () => {};
    },
  });
  line.show("working");
  clear(true);
  terminal.write("begun");
  line.show("working");
  expect(terminal.lines()).toEqual(["begun"]);
  line.print("told\n");
  line.show("working");
  expect(terminal.lines()).toEqual(["begun", "told", "working"]);
});

test("ProgressLine writes to a log now and then, the first line when it was told to", () => {
  const [later, atOnce] = [new Screen({ isTTY: false }), new Screen({ isTTY: false })];
  using one = new ProgressLine(later);
  using other = new ProgressLine(atOnce, { firstLineMs: 0 });
  for (const text of ["first", "second"]) {
    one.show(text);
    other.show(() => [{ text, tone: "bad" }]);
  }
  expect([later.text, atOnce.text]).toEqual(["", "first\n"]);
});
