import { expect, test } from "bun:test";

import {
  decodeThrown,
  encodeThrown,
  errorOfThrown,
  thrownOf,
  thrownOfText,
} from "../../shared/thrown.ts";
import { encodeValue } from "../../shared/value.ts";

test("decodeThrown() returns what encodeThrown() was given, cut and well formed", () => {
  const thrown = thrownOf(new TypeError("wrong"));
  expect(decodeThrown(encodeThrown(thrown))).toEqual(thrown);
  const long = decodeThrown(encodeThrown({ name: "\ud800", message: "x".repeat(1e6), stack: "" }));
  expect([long.name, long.message.length]).toEqual(["\ufffd", 16 * 1024 + 1]);
});

test("decodeThrown() refuses other values", () => {
  for (const value of [null, 1, {}, { name: "E", message: 1 }]) {
    expect(() => decodeThrown(encodeValue(value))).toThrow(TypeError);
  }
});

test("thrownOf() keeps the stack and the causes of an error, and shows anything else", () => {
  const thrown = thrownOf(new RangeError("far", { cause: new Error("why") }));
  expect([thrown.name, thrown.message]).toEqual(["RangeError", "far"]);
  expect(thrown.stack).toMatch(/far[^]*Caused by[^]*why/);
  const messages = [undefined, null, 7, "text", { a: 1 }, Symbol("s")].map((value) =>
    thrownOf(value).message
  );
  expect(messages).toEqual(["undefined", "null", "7", "text", '{"a":1}', "Symbol(s)"]);
});

test("thrownOf() ends at causes that go in a circle", () => {
  const error = new Error("round");
  error.cause = error;
  expect(thrownOf(error).stack.match(/Caused by/g)?.length).toBe(4);
});

test("thrownOfText() takes JSON and plain text", () => {
  const thrown = { name: "E", message: "m", stack: "s" };
  expect(thrownOfText(JSON.stringify(thrown))).toEqual(thrown);
  expect(thrownOfText("no luck\n")).toEqual({ name: "Error", message: "no luck", stack: "" });
  expect(thrownOfText("{}").message).toBe("{}");
});

test("errorOfThrown() makes an Error of that name, message and stack", () => {
  const error = errorOfThrown({ name: "RangeError", message: "far", stack: "far\n at f" });
  expect([error.name, error.message, error.stack]).toEqual(["RangeError", "far", "far\n at f"]);
  expect(Reflect.get(error, Symbol.for("nodejs.util.inspect.custom"))()).toBe("far\n at f");
  expect(error).toBeInstanceOf(Error);
});
