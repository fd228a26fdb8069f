import { expect, test } from "bun:test";

import { ScreenBlock } from "../../shared/screen_block.ts";
import { Screen } from "../screen.ts";

test("ScreenBlock redraws lines in place, and leaves them for what comes below", () => {
  const terminal = new Screen();
  terminal.write("above\n");
  {
    using block = new ScreenBlock(terminal);
    block.show(["one", "two", "three"]);
    block.show(["1", "2"]);
    expect(terminal.lines()).toEqual(["above", "1", "2"]);
    const { length } = terminal.text;
    block.show(["1", "2"]);
    expect(terminal.text).toHaveLength(length);
  }
  terminal.write("below");
  expect(terminal.lines()).toEqual(["above", "1", "2", "below"]);
});

test("ScreenBlock shows what fits the height, and how many more there are", () => {
  const terminal = new Screen({ rows: 4 });
  using block = new ScreenBlock(terminal);
  block.show(["1", "2", "3", "4", "5"]);
  expect(terminal.lines()).toEqual(["1", "2", "… 3 more"]);
  terminal.rows = 10;
  block.show(["1", "2", "3", "4", "5"]);
  expect(terminal.lines()).toEqual(["1", "2", "3", "4", "5"]);
});
