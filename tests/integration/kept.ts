/** A workflow that uses what lasts of every kind, and tells what it took to have it. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";

import type { Manager } from "../../mod.ts";
import type { Scratch } from "./scratch.ts";

/** What it took. */
export interface Effort {
  /** Transfers and recipes that workers were told of. */
  readonly transferCount: number;
  /** Commands of mini tasks that ran, in all workflows. */
  readonly runCount: number;
  /** What its tasks have said. */
  readonly said: readonly string[];
}

/** What a workflow with everything in place says. */
export const ALL_SAID: readonly string[] = ["text", "text", "hello", "text", "made", "made"];

/** Makes the files of the workflow, once. */
export function prepareKept(scratch: Scratch): void {
  mkdirSync(scratch.path("tree", "sub"), { recursive: true });
  mkdirSync(scratch.path("tree", "empty"));
  writeFileSync(scratch.path("tree", "sub", "file"), "text");
  symlinkSync("sub/file", scratch.path("tree", "link"));
  mkdirSync(scratch.path("software", "bin"), { recursive: true });
  writeFileSync(scratch.path("software", "bin", "hello"), "#!/bin/sh\necho hello\n", {
    mode: 0o755,
  });
  for (const name of ["tree", "software"]) {
    execFileSync("tar", ["czf", scratch.path(`${name}.tgz`), "-C", scratch.path(name), "."]);
  }
}

/** Runs a task for each kind of file, all declared at `cache`. */
export async function useKept(
  manager: Manager,
  scratch: Scratch,
  cache: "worker" | "forever",
): Promise<Effort> {
  let transferCount = 0;
  manager.subscribe((facts) => {
    for (const { kind } of facts) if (kind === "transfer_started") transferCount += 1;
  });
  const log = scratch.path("runs");
  const tree = manager.file(scratch.path("tree"), { cache });
  const file = manager.file(scratch.path("tree", "sub", "file"), { cache });
  const unpacked = manager.unpack(manager.file(scratch.path("tree.tgz"), { cache }), { cache });
  const environment = manager.environment(
    manager.file(scratch.path("software.tgz"), { cache }),
    { cache },
  );
  const made = manager.miniTask(
    {
      command: `echo run >> ${log}; mkdir out; echo made > out/file; test -d in/empty`,
      inputs: { in: tree },
    },
    "out",
    { cache },
  );
  const last = manager.miniTask(
    { command: `echo run >> ${log}; cp made/file all`, inputs: { made } },
    "all",
    { cache },
  );
  const tasks = [
    { command: "cat link/link", inputs: { link: tree } },
    { command: "cat file", inputs: { file } },
    { command: "hello", environment },
    { command: "cat unpacked/link", inputs: { unpacked } },
    { command: "cat made/file", inputs: { made } },
    { command: "cat last", inputs: { last } },
  ].map((task) => manager.submit(task));
  const ends = await Promise.all(tasks);
  const said = ends.map(({ stdout, message }) => `${stdout}${message}`.trim());
  const runs = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").length : 0;
  return { transferCount, runCount: runs, said };
}
