import { expect, test } from "bun:test";

import { formatTable } from "../../manager/table.ts";
import { plainText, stripControls } from "../../shared/plain_text.ts";

test("formatTable() makes columns as wide as what is in them, without spaces at the ends", () => {
  const columns = [
    { title: "ID", isRight: true, text: (row: readonly string[]) => row[0] ?? "" },
    { title: "COMMAND", text: (row: readonly string[]) => row[1] ?? "" },
    { title: "HOST", text: (row: readonly string[]) => row[2] ?? "" },
  ];
  expect(formatTable(columns, [["7", "true", ""], ["1234", "sleep 10", "oak"]])).toBe(
    "  ID  COMMAND   HOST\n   7  true\n1234  sleep 10  oak\n",
  );
  expect(formatTable(columns, [])).toBe("ID  COMMAND  HOST\n");
});

test("plainText() makes one line of a text, without what moves a cursor or turns it around", () => {
  expect(plainText("a\r\nb\t\x1b[2Jc\x07\u202ed\x9b3m", 100)).toBe("a b [2Jcd3m");
  expect(plainText("x".repeat(10_000), 5)).toBe("xxxx…");
});

test("stripControls() leaves lines and tabs", () => {
  expect(stripControls("a\tb\n\x1b]0;title\x07c\r\n")).toBe("a\tb\n]0;titlec\n");
});
