/**
 * From `load` to the first result, in a process of its own: `bun flow_first.ts manager|in-process`.
 * Prints the milliseconds.
 */
import process from "node:process";

import { app, inProcess, load } from "tendril";

const startMs = performance.now();
await using _flow = await load(
  process.argv[2] === "in-process" ? { executors: [inProcess()] } : { workers: 1 },
);
const double = app((value: number) => 2 * value, { name: "double" });
const value = await double(21);
const ms = performance.now() - startMs;
if (value !== 42) throw new Error(`Cannot measure the first result: it is ${value}`);
process.stdout.write(`${ms}\n`);
