import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";

const calls: string[] = [];

beforeAll(() => calls.push("beforeAll of file"));
beforeEach(() => calls.push("beforeEach of file"));
afterEach(() => calls.push("afterEach of file"));

describe("group", () => {
  beforeAll(async () => {
    await Promise.resolve();
    calls.push("beforeAll of group");
  });
  beforeEach(() => calls.push("beforeEach of group"));
  afterEach(() => calls.push("afterEach of group"));
  afterAll(() => calls.push("afterAll of group"));

  describe("inner", () => {
    test("first", () => void calls.push("first"));
  });
  test("second", () => void calls.push("second"));
});

test("hooks run around the tests of their group, outer before inner", () => {
  expect(calls).toEqual([
    "beforeAll of file",
    "beforeAll of group",
    "beforeEach of file",
    "beforeEach of group",
    "first",
    "afterEach of group",
    "afterEach of file",
    "beforeEach of file",
    "beforeEach of group",
    "second",
    "afterEach of group",
    "afterEach of file",
    "afterAll of group",
    "beforeEach of file",
  ]);
});

const rows: [number, string][] = [];

test.each([[1, "one"], [2, "two"]])("each %d %s", (count, word) => {
  rows.push([count, word]);
});

test.each(["three"])("each %s alone", (word) => {
  rows.push([3, word]);
});

test("each calls the body with the values of its row", () => {
  expect(rows).toEqual([[1, "one"], [2, "two"], [3, "three"]]);
});

test("expect has the matchers that tests use", async () => {
  expect(1).toBe(1);
  expect({ a: [1, undefined] }).toEqual({ a: [1, undefined] });
  expect(new Uint8Array([1])).toStrictEqual(new Uint8Array([1]));
  expect({ a: 1, b: 2 }).toMatchObject({ a: 1 });
  expect([1, 2]).toContain(2);
  expect([{ a: 1 }]).toContainEqual({ a: 1 });
  expect("text").toMatch(/ex/);
  expect([1]).toHaveLength(1);
  expect({ a: 1 }).toHaveProperty("a", 1);
  expect(0.1 + 0.2).toBeCloseTo(0.3);
  expect(2).toBeGreaterThan(1);
  expect(1).toBeLessThanOrEqual(1);
  expect(NaN).toBeNaN();
  expect(undefined).toBeUndefined();
  expect(new Map()).toBeInstanceOf(Map);
  expect({ a: 1 }).toEqual({ a: expect.any(Number) });
  expect(() => {
    throw new RangeError("Cannot read it");
  }).toThrow("Cannot read");
  expect(() => {
    throw new RangeError("Cannot read it");
  }).toThrow(RangeError);
  expect("text").toBeString();
  expect("text").toStartWith("te");
  expect("text").not.toEndWith("te");
  expect(() => expect(1).toBeString()).toThrow();
  expect(() => expect("text").not.toStartWith("te")).toThrow();
  await expect(Promise.reject(new Error("late"))).rejects.toThrow("late");
  await expect(Promise.resolve(1)).resolves.toBe(1);
  expect(() => expect(1).toBe(2)).toThrow();
  expect(() => expect([1]).not.toEqual([1])).toThrow();
});
