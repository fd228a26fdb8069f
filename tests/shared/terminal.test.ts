import { expect, test } from "bun:test";
import process from "node:process";

import { beforeOutput } from "../../shared/terminal.ts";

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
