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

test("formatTable() makes flexible columns narrower on a terminal, and pads wide characters", () => {
  const columns = [
    { title: "ID", isRight: true, text: (row: readonly string[]) => row[0] ?? "" },
    { title: "COMMAND", isFlexible: true, text: (row: readonly string[]) => row[1] ?? "" },
    { title: "HOST", text: (row: readonly string[]) => row[2] ?? "", tone: () => "bad" as const },
  ];
  const rows = [["7", "sort the names of all trees", "oak"], ["12", "木", "elm"]];
  const format = (room: number, hasColours = false) => {
    return formatTable(columns, rows, { columns: room, hasColours });
  };
  expect(format(30)).toBe(
    "ID  COMMAND               HOST\n 7  sort the names of a…  oak\n12  木                    elm\n",
  );
  expect(format(15)).toBe(
    "ID  COMMAND   …\n 7  sort the …  \n".replace("  \n", "…\n") + "12  木        …\n",
  );
  expect(format(30, true)).toContain("  \x1b[31moak\x1b[0m\n");
});

test("plainText() makes one line of a text, without what moves a cursor or turns it around", () => {
  expect(plainText("a\r\nb\t\x1b[2Jc\x07\u202ed\x9b3m", 100)).toBe("a b [2Jcd3m");
  expect(plainText("x".repeat(10_000), 5)).toBe("xxxx…");
});

test("stripControls() leaves lines and tabs", () => {
  expect(stripControls("a\tb\n\x1b]0;title\x07c\r\n")).toBe("a\tb\n]0;titlec\n");
});
