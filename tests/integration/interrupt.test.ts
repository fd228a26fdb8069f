import { expect, test } from "bun:test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import process from "node:process";

import { BINARY } from "../binary/built.ts";
import { markedEnvironment, processesOf, Scratch, until, untilGone } from "./scratch.ts";

const WORKFLOW = `
import { Manager } from "tendril";
const manager = await Manager.start({ workers: { count: 3, cores: 1 } });
const library = manager.library({ name: "waits", module: "./library.ts" });
const daemons = "(setsid sleep 600 &) ; sleep 600 & ";
for (let index = 0; index < 4; index++) {
  manager.submit({ command: daemons + "trap '' INT TERM; sleep 600; sleep 600" });
}
library.call("wait");
for await (const result of manager.completed()) console.log(result.outcome);
`;
const LIBRARY = "export const wait = () => new Promise(() => {});\n";

interface Running {
  readonly child: ChildProcess;
  readonly mark: string;
  readonly temporary: string;
  readonly ended: Promise<number | string>;
  said(): string;
}

/** Starts the workflow with `command` and waits until its tasks run. */
async function start(
  scratch: Scratch,
  command: readonly string[],
  more: string = "",
): Promise<Running> {
  const mark = randomUUID();
  const temporary = scratch.path(`temporary-${mark}`);
  await mkdir(temporary);
  await writeFile(scratch.path("workflow.ts"), more + WORKFLOW);
  await writeFile(scratch.path("library.ts"), LIBRARY);
  const [file = "", ...args] = command;
  const child = spawn(file, args, {
    cwd: scratch.folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      ...markedEnvironment(mark),
      TMPDIR: temporary,
      TENDRIL_BIN: BINARY,
    },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes) => said += String(bytes));
  }
  const { promise: ended, resolve } = Promise.withResolvers<number | string>();
  child.once("exit", (code, signal) => resolve(code ?? signal ?? ""));
  const running = { child, mark, temporary, ended, said: () => said };
  await until(
    () => processesOf(mark).filter((line) => line.includes("sleep 600")).length >= 6,
    `tasks run: ${said}`,
  ).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw new Error(`${error} ${said}`);
  });
  return running;
}

function init(scratch: Scratch): void {
  execFileSync(BINARY, ["init", scratch.path("init")], { stdio: "pipe" });
  for (const name of ["tendril.mjs", "tendril.d.ts", "deno.json", "tsconfig.json"]) {
    execFileSync("cp", [scratch.path("init", name), scratch.folder]);
  }
}

const COMMANDS: readonly (readonly [string, readonly string[]])[] = [
  ["tendril run", [BINARY, "run", "workflow.ts"]],
  ["bun", ["bun", "workflow.ts"]],
  ["deno run", ["deno", "run", "-A", "workflow.ts"]],
];

test.each(COMMANDS)("An interrupt ends %s in good order, with nothing left", async (_, command) => {
  await using scratch = await Scratch.open();
  init(scratch);
  const running = await start(scratch, command);
  running.child.kill("SIGINT");
  expect(await running.ended).toBe(130);
  await untilGone(running.mark);
  expect(readdirSync(running.temporary)).toEqual([]);
  expect(readdirSync(scratch.path("home", "managers"))).toEqual([]);
}, 120_000);

test("A script that exits by itself leaves no local worker behind", async () => {
  await using scratch = await Scratch.open();
  const running = await start(
    scratch,
    COMMANDS[0]![1],
    'process.on("SIGUSR2", () => process.exit(3));',
  );
  running.child.kill("SIGUSR2");
  expect(await running.ended).toBe(3);
  await untilGone(running.mark);
}, 120_000);

test.each(COMMANDS)("A second interrupt ends %s at once, with nothing left", async (_, command) => {
  await using scratch = await Scratch.open();
  init(scratch);
  const running = await start(scratch, command);
  running.child.kill("SIGINT");
  await until(() => running.said().includes("once more"), "it says what it does");
  running.child.kill("SIGINT");
  expect(await running.ended).toBe(130);
  await untilGone(running.mark);
}, 120_000);

test("An interrupt of the whole terminal ends tendril run and its workers the same", async () => {
  await using scratch = await Scratch.open();
  const running = await start(scratch, COMMANDS[0]![1]);
  const own = processesOf(running.mark).filter((line) => / (run|worker) /.test(line));
  for (const line of own) process.kill(Number.parseInt(line), "SIGINT");
  expect(await running.ended).toBe(130);
  await untilGone(running.mark);
  expect(readdirSync(running.temporary)).toEqual([]);
}, 120_000);
