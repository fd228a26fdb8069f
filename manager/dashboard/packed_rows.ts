/**
 * Rows as columns, which gzip makes small: numbers as steps from one to the next where that is
 * shorter, texts that repeat as their indexes, texts that differ in their numbers as patterns, and
 * what can be told from the columns before as how it differs from that. What is unpacked is what was
 * packed, to the bit.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";

/** What a row can hold. */
export type Cell = string | number | boolean | null;

/** Rows of equal keys as columns of equal length. */
export interface PackedRows {
  readonly count: number;
  readonly columns: { readonly [key: string]: PackedColumn };
}

/** `{key: what is expected there, from the keys before it}`; unpacking needs the same. */
export type Expectations<Row> = { readonly [Key in keyof Row]?: (row: Row) => Cell };

type Numbers = readonly (number | null)[];

/** One column. */
export type PackedColumn =
  | { readonly kind: "plain"; readonly values: readonly Cell[] }
  /** Each is the one before, less null, and this; divided by `scale`. */
  | { readonly kind: "steps"; readonly scale: number; readonly steps: Numbers }
  /** Whole numbers of parts of one: divided by `scale`. */
  | { readonly kind: "scaled"; readonly scale: number; readonly values: Numbers }
  | { readonly kind: "texts"; readonly texts: readonly Cell[]; readonly indexes: readonly number[] }
  /** Texts with NUL in the place of numbers, and for each pattern its numbers, by their places. */
  | {
    readonly kind: "patterns";
    readonly patterns: readonly string[];
    readonly indexes: readonly number[];
    readonly numbers: readonly (readonly PackedColumn[])[];
  }
  /** As expected but for these: `[index of the row, value]`. */
  | { readonly kind: "expected"; readonly others: readonly (readonly [number, Cell])[] }
  /** What is expected, and so much more. */
  | { readonly kind: "differences"; readonly differences: PackedColumn };

/** Parts of one in which fractions are told: times to the microsecond, amounts of cores. */
const SCALE = 1_000;
/** A column whose texts are more than this part of its rows is not told by their indexes. */
const DISTINCT_PART_MAX = 0.5;
/** A column with more patterns than this part of its rows is told as it stands. */
const PATTERNS_PART_MAX = 0.1;
/** Digits beyond these are part of the text. */
const NUMBER = /(?:[1-9]\d{0,14}|0)(?!\d)/g;

/** Packs rows that all have the keys of the first. */
export function packRows<Row extends object>(
  rows: readonly Row[],
  expectations: Expectations<Row> = {},
): PackedRows {
  const columns: { [key: string]: PackedColumn } = {};
  // An object's own keys are those of its type here: rows come from statements that name them.
  for (const key of Object.keys(rows[0] ?? {}) as (keyof Row & string)[]) {
    const expect = expectations[key];
    const values = rows.map((row) => (row[key] ?? null) as Cell);
    columns[key] = expect === undefined
      ? packColumn(values)
      : packDifferences(values, rows.map(expect));
  }
  return { count: rows.length, columns };
}

/** Rows of what `packRows` made with the same expectations; `Row` is what they were. */
export function unpackRows<Row extends object>(
  { count, columns }: PackedRows,
  expectations: Expectations<Row> = {},
): Row[] {
  // Filled in the order of the keys, so that what is expected finds those before.
  const rows = Array.from({ length: count }, () => ({}) as Row & { [key: string]: Cell });
  for (const [key, column] of Object.entries(columns)) {
    const expect = expectations[key as keyof Row];
    const values = unpackColumn(column, () => rows.map((row) => expect?.(row) ?? null));
    rows.forEach((row, index) => Object.assign(row, { [key]: values[index] ?? null }));
  }
  return rows;
}

function packDifferences(values: readonly Cell[], expected: readonly Cell[]): PackedColumn {
  const others = values.flatMap((value, index) =>
    value === expected[index] ? [] : [[index, value] as const]
  );
  if (others.length <= values.length * PATTERNS_PART_MAX) return { kind: "expected", others };
  const differences = values.map((value, index) => {
    const base = expected[index];
    if (value === null) return null;
    return typeof value === "number" && typeof base !== "string" ? value - Number(base) : NaN;
  });
  const isExact = differences.every((difference, index) =>
    difference === null || Number.isSafeInteger(difference) && Number.isSafeInteger(values[index])
  );
  return isExact
    ? { kind: "differences", differences: packNumbers(differences) }
    : packColumn(values);
}

function packColumn(values: readonly Cell[]): PackedColumn {
  if (values.every((value) => value === null || typeof value === "number")) {
    return packNumbers(values);
  }
  const indexOf = indexesOf(values);
  if (indexOf.size <= values.length * DISTINCT_PART_MAX) {
    const indexes = values.map((value) => indexOf.get(value) ?? 0);
    return { kind: "texts", texts: [...indexOf.keys()], indexes };
  }
  return packPatterns(values) ?? { kind: "plain", values };
}

function indexesOf<Value>(values: readonly Value[]): ReadonlyMap<Value, number> {
  const indexOf = new Map<Value, number>();
  for (const value of values) if (!indexOf.has(value)) indexOf.set(value, indexOf.size);
  return indexOf;
}

function packPatterns(values: readonly Cell[]): PackedColumn | undefined {
  const texts = values.filter((value) => typeof value === "string");
  if (texts.length < values.length || texts.some((text) => text.includes("\0"))) return undefined;
  const found = texts.map((text) => text.replace(NUMBER, "\0"));
  const indexOf = indexesOf(found);
  if (indexOf.size > values.length * PATTERNS_PART_MAX) return undefined;
  const numbers: number[][][] = Array.from(indexOf, () => []);
  const indexes = found.map((pattern, row) => {
    const index = indexOf.get(pattern) ?? 0;
    texts[row]?.match(NUMBER)?.forEach((digits, place) => {
      ((numbers[index] ??= [])[place] ??= []).push(Number(digits));
    });
    return index;
  });
  return {
    kind: "patterns",
    patterns: [...indexOf.keys()],
    indexes,
    numbers: numbers.map((places) => places.map(packNumbers)),
  };
}

function unpackPatterns(
  { patterns, indexes, numbers }: Extract<PackedColumn, { readonly kind: "patterns" }>,
): readonly Cell[] {
  const places = numbers.map((columns) => columns.map((column) => unpackColumn(column, () => [])));
  const pieces = patterns.map((pattern) => pattern.split("\0"));
  const told = patterns.map(() => 0);
  return indexes.map((index) => {
    const row = told[index] ?? 0;
    told[index] = row + 1;
    const [head = "", ...rest] = pieces[index] ?? [];
    return rest.reduce(
      (text, piece, place) => `${text}${places[index]?.[place]?.[row]}${piece}`,
      head,
    );
  });
}

function packNumbers(values: Numbers): PackedColumn {
  const scale = [1, SCALE].find((parts) =>
    values.every((value) => value === null || isWhole(value, parts))
  );
  if (scale === undefined) return { kind: "plain", values };
  const whole = values.map((value) => value === null ? null : Math.round(value * scale));
  let before = 0;
  const steps = whole.map((value) => {
    if (value === null) return null;
    const step = value - before;
    before = value;
    return step;
  });
  return sizeOf(steps) < sizeOf(whole)
    ? { kind: "steps", scale, steps }
    : { kind: "scaled", scale, values: whole };
}

function isWhole(value: number, parts: number): boolean {
  const whole = Math.round(value * parts);
  return Number.isSafeInteger(whole) && whole / parts === value && !Object.is(value, -0);
}

function sizeOf(values: Numbers): number {
  return values.reduce<number>((size, value) => size + String(value).length, 0);
}

function unpackColumn(
  column: PackedColumn,
  expected: () => readonly Cell[],
): readonly (Cell | undefined)[] {
  switch (column.kind) {
    case "plain":
      return column.values;
    case "scaled":
      return column.values.map((value) => value === null ? null : value / column.scale);
    case "steps": {
      let value = 0;
      return column.steps.map((step) => {
        if (step === null) return null;
        value += step;
        return value / column.scale;
      });
    }
    case "texts":
      return column.indexes.map((index) => column.texts[index]);
    case "patterns":
      return unpackPatterns(column);
    case "expected": {
      const values = [...expected()];
      for (const [index, value] of column.others) values[index] = value;
      return values;
    }
    case "differences": {
      const base = expected();
      return unpackColumn(column.differences, expected).map((difference, index) =>
        typeof difference === "number" ? Number(base[index]) + difference : null
      );
    }
    default:
      return unreachable(column);
  }
}
