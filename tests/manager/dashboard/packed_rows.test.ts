import { expect, test } from "bun:test";

import { packRows, unpackRows } from "../../../manager/dashboard/packed_rows.ts";

interface Row {
  readonly id: number;
  readonly text: string | null;
  readonly amount: number | null;
  readonly twice: number | null;
}

const EXPECTED = { twice: ({ amount }: Row): number => 2 * (amount ?? 0) };

function travel(rows: readonly Row[], expected: Parameters<typeof packRows<Row>>[1] = {}): Row[] {
  return unpackRows<Row>(JSON.parse(JSON.stringify(packRows(rows, expected))), expected);
}

function rowsOf(fields: (index: number) => Partial<Row>, count = 50): Row[] {
  return Array.from({ length: count }, (_, index) => ({
    id: index,
    text: null,
    amount: null,
    twice: null,
    ...fields(index),
  }));
}

test.each<[string, (index: number) => Partial<Row>]>([
  ["texts that repeat", (index) => ({ text: ["a", null, "b"][index % 3] ?? null })],
  [
    "texts that differ in numbers",
    (index) => ({ text: `run ${index} of 007, seed ${index * 1e9}` }),
  ],
  ["zeros in front, and digits without end", (index) => ({
    text: `00${index}.0 0${index} ${"9".repeat(15 + index)}${index}`,
  })],
  ["texts that have nothing in common", (index) => ({ text: "x".repeat(index) })],
  ["NUL and pairs of surrogates", (index) => ({ text: `\0${index}\u{1F33F}\uD800` })],
  ["numbers and null", (index) => ({ amount: index % 7 === 0 ? null : index * 1e12 })],
  ["fractions", (index) => ({ amount: index / 1_000 })],
  ["fractions that no scale holds", (index) => ({ amount: Math.PI ** index })],
  ["the largest and the least", (index) => ({
    amount: [Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, 1e300, -0.5][index % 4] ?? 0,
  })],
  ["what is expected", (index) => ({ amount: index, twice: 2 * index })],
  [
    "what is a little more than expected",
    (index) => ({ amount: index, twice: 2 * index + index % 3 }),
  ],
  [
    "what was not expected",
    (index) => ({ amount: index / 3, twice: index % 2 ? null : index / 7 }),
  ],
])("unpackRows() gives back %s", (_what, fields) => {
  const rows = rowsOf(fields);
  expect(travel(rows)).toEqual(rows);
  expect(travel(rows, EXPECTED)).toEqual(rows);
});

test("packRows() takes no room for what follows from the row, and little for numbers in texts", () => {
  const rows = rowsOf(
    (index) => ({ text: `task ${index}`, amount: index, twice: 2 * index }),
    1_000,
  );
  const { columns } = packRows(rows, EXPECTED);
  expect(columns["twice"]).toEqual({ kind: "expected", others: [] });
  expect(columns["text"]).toMatchObject({ kind: "patterns", patterns: ["task \0"] });
});

test("unpackRows() gives no rows of none", () => {
  expect(travel([])).toEqual([]);
});
