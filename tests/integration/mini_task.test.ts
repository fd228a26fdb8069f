/** Files that commands make at the workers which need them. */

import { expect, test } from "bun:test";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";

import { Manager } from "../../mod.ts";
import { processesOf, Scratch, until } from "./scratch.ts";

/** A command that notes each of its runs in `log`. */
function noted(log: string, command: string): string {
  return `echo run >> ${log}; ${command}`;
}

function runCount(log: string): number {
  return existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").length : 0;
}

test("miniTask() makes a file of inputs of every kind, once at each worker", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  for (let count = 0; count < 2; count++) await scratch.worker(manager);
  const log = scratch.path("log");
  const path = scratch.path("local");
  writeFileSync(path, "local\n");
  const temp = manager.temp();
  manager.submit({ command: "echo temp > made", outputs: { made: temp } });
  const first = manager.miniTask({
    command: "mkdir -p out/sub && cat in/buffer > out/sub/file && ln -s sub/file out/link",
    inputs: { "in/buffer": manager.buffer("buffer\n") },
  }, "out");
  const second = manager.miniTask({
    command: noted(log, `cat local url temp first/link > all; echo $WORD >> all`),
    inputs: { local: manager.file(path), url: manager.url(`file://${path}`), temp, first },
    env: { WORD: "word" },
  }, "all");
  const tasks = Array.from({ length: 4 }, () => {
    // Both workers have to take some.
    return manager.submit({ command: "sleep 0.3; cat second", inputs: { second } });
  });
  const ends = await Promise.all(tasks);
  expect(ends.map(({ stdout, message }) => stdout + message))
    .toEqual(ends.map(() => "local\nlocal\ntemp\nbuffer\nword\n"));
  expect(runCount(log)).toBe(new Set(ends.map(({ workerId }) => workerId)).size);
  expect(await second.text()).toContain("buffer");
}, 40_000);
