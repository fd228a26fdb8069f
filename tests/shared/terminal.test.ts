import { expect, test } from "bun:test";
import process from "node:process";

import { beforeOutput, terminalOf } from "../../shared/terminal.ts";

test("beforeOutput() is called before the console and the streams, until it is stopped", () => {
  const { console } = globalThis;
  const original = console.log;
  const calls: string[] = [];
  const silent = () => void calls.push("log");
  console.log = silent;
  try {
    const stop = beforeOutput(() => void calls.push("clear"));
    process.stdout.write("");
    process.stderr.write("");
    console.log("a line");
    expect(calls).toEqual(["clear", "clear", "clear", "log"]);
    stop();
    process.stdout.write("");
    console.log("a line");
    expect(calls.slice(4)).toEqual(["log"]);
    expect(console.log).toBe(silent);
  } finally {
    console.log = original;
  }
});

test("terminalOf() has colours only on a terminal that can draw, where the user wants some", () => {
  const stream = { isTTY: true, columns: 0, rows: 7, write: () => true };
  const of = (env: Record<string, string>, isTTY = true) => {
    const { isTTY: isTerminal, hasColours } = terminalOf({ ...stream, isTTY }, env);
    return [isTerminal, hasColours];
  };
  expect(of({ TERM: "xterm" })).toEqual([true, true]);
  expect(of({ TERM: "xterm", NO_COLOR: "1" })).toEqual([true, false]);
  expect(of({ TERM: "xterm", NO_COLOR: "" })).toEqual([true, true]);
  expect(of({ TERM: "dumb" })).toEqual([false, false]);
  expect(of({ TERM: "xterm", FORCE_COLOR: "1" }, false)).toEqual([false, false]);
  expect(terminalOf(stream, {})).toMatchObject({ columns: 80, rows: 7 });
});
