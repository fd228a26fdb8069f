import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";
import { expect, test } from "bun:test";

import { readProcess } from "../../worker/process_table.ts";
import { Watcher } from "../../worker/watcher.ts";
import { openWorkspace } from "../../worker/workspace.ts";
import { markedProcesses, TemporaryFolder, until } from "./task_fixture.ts";

const WATCH_ENTRY = fileURLToPath(new URL("watch_entry.ts", import.meta.url).href);
const WORKER_ENTRY = fileURLToPath(new URL("worker_entry.ts", import.meta.url).href);

/** No process has a larger id: `PID_MAX_LIMIT` of Linux on 64 bits. */
const GROUP_ID_MAX = 4 * 1024 * 1024;

/** Runs on in a group, out of it, and out of it without the mark. */
const STUBBORN = "trap '' TERM HUP INT; " +
  "setsid sh -c 'sleep 1000; :' & env -i sh -c '/bin/sleep 1000; :' & " +
  "env -i setsid sh -c 'echo $$ > bare; /bin/sleep 1000; :' & echo $$ > id; wait; sleep 1000";

interface Worker {
  readonly child: ChildProcess;
  readonly mark: string;
  readonly workerId: string;
  readonly path: string;
  readonly sandbox: string;
  readonly sandboxesPath: string;
  readonly watcherId?: number;
}

async function startWorker(directory: string, kind: "watched" | "alone"): Promise<Worker> {
  const child = spawn(process.execPath, [WORKER_ENTRY, directory, kind, STUBBORN], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout! })) {
    return { child, ...JSON.parse(line) };
  }
  throw new Error("Cannot start a worker: it ended without a word");
}

async function readIds(worker: Worker): Promise<number[]> {
  const paths = ["id", "bare"].map((name) => join(worker.sandbox, name));
  await until("the task's processes", () => paths.every((path) => existsSync(path)));
  return await until("their ids", () => {
    const ids = paths.map((path) => Number(readFileSync(path, "utf8")));
    return ids.every((id) => id > 0) ? ids : undefined;
  });
}

function isGone(processId: number): boolean {
  return readProcess(processId)?.isZombie ?? true;
}

test("Watcher leaves no process and no sandbox of a worker that was killed", async () => {
  await using folder = new TemporaryFolder();
  const worker = await startWorker(folder.path, "watched");
  const ids = await readIds(worker);
  process.kill(worker.watcherId!, "SIGTERM");
  process.kill(worker.watcherId!, "SIGINT");
  worker.child.kill("SIGKILL");
  await until("the end of all processes", () => markedProcesses(worker.mark).length === 0);
  await until("the end of a process without the mark", () => ids.every(isGone));
  expect(isGone(worker.watcherId!)).toBe(true);
  expect(existsSync(worker.sandboxesPath)).toBe(false);
});

test("openWorkspace() sweeps what a killed worker without a watcher left", async () => {
  await using folder = new TemporaryFolder();
  const worker = await startWorker(folder.path, "alone");
  const [, bareId] = await readIds(worker);
  const gone = new Promise((resolve) => worker.child.once("exit", resolve));
  worker.child.kill("SIGKILL");
  await gone;
  expect(markedProcesses(worker.mark)).not.toEqual([]);
  await using workspace = await openWorkspace({ directory: folder.path, name: "test", env: {} });
  expect(markedProcesses(worker.mark)).toEqual([]);
  expect(workspace.path).toBe(worker.path);
  expect(workspace.workerId as string).toBe(worker.workerId);
  expect(workspace.mark).not.toBe(worker.mark);
  expect(existsSync(worker.sandboxesPath)).toBe(false);
  expect(existsSync(join(workspace.temporaryPath, "left"))).toBe(false);
  await until("the end of a process without the mark", () => isGone(bareId!));
});

test("Watcher.close() lets it go without touching anything", async () => {
  await using folder = new TemporaryFolder();
  const watcher = new Watcher({
    command: [process.execPath, WATCH_ENTRY],
    mark: crypto.randomUUID(),
    sandboxesPath: folder.path,
    onTrouble: () => {},
  });
  const { processId } = watcher;
  await watcher.close();
  expect(isGone(processId!)).toBe(true);
  expect(existsSync(folder.path)).toBe(true);
});

test("Watcher starts again when it is killed, and knows the groups", async () => {
  await using folder = new TemporaryFolder();
  const troubles: string[] = [];
  const sleeper = spawn("/bin/sleep", ["1000"], { detached: true, stdio: "ignore" });
  const ended = new Promise((resolve) => sleeper.once("exit", (_, signal) => resolve(signal)));
  await using watcher = new Watcher({
    command: [process.execPath, WATCH_ENTRY],
    mark: crypto.randomUUID(),
    sandboxesPath: folder.path,
    onTrouble: (message) => troubles.push(message),
  });
  watcher.groupStarted(sleeper.pid!);
  const first = watcher.processId!;
  process.kill(first, "SIGKILL");
  await until("another watcher", () => watcher.processId !== first);
  expect(troubles).toEqual(["The watcher ended and is started again"]);
  // Killed as a group by its second watcher, were this process to end; here by us.
  sleeper.kill("SIGKILL");
  expect(await ended).toBe("SIGKILL");
});

test("Watcher starts again when it has stopped reading, and knows the groups", async () => {
  await using folder = new TemporaryFolder();
  const troubles: string[] = [];
  await using watcher = new Watcher({
    command: [process.execPath, WATCH_ENTRY],
    mark: crypto.randomUUID(),
    sandboxesPath: folder.path,
    onTrouble: (message) => troubles.push(message),
  });
  const first = watcher.processId!;
  process.kill(first, "SIGSTOP");
  let isStart = false;
  await until("another watcher", () => {
    isStart = !isStart;
    for (let groupId = GROUP_ID_MAX + 1; groupId < GROUP_ID_MAX + 20_000; groupId++) {
      if (isStart) watcher.groupStarted(groupId);
      else watcher.groupEnded(groupId);
    }
    return watcher.processId !== first;
  });
  expect(troubles).toEqual(["The watcher ended and is started again"]);
  expect(isGone(first)).toBe(true);
});
