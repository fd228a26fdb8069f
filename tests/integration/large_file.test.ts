import { expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { BINARY } from "../binary/built.ts";
import { markedEnvironment, processesOf, readProc, Scratch } from "./scratch.ts";

const LARGE_BYTES = 2_000_000_000;
const MEMORY_KIB_MAX = 200_000;
/** Longest time in which a status is answered while the bytes move. */
const ANSWER_MS_MAX = 10_000;

/** Moves a file to one worker, another one from there to the other, and that one back. */
const WORKFLOW = `
import { Manager } from "tendril";
await using manager = await Manager.start({
  workers: { count: 2, cores: 1 }, name: "large", policies: { waitForWorkers: 2 },
});
const [input, temp] = [manager.file("large.bin"), manager.temp()];
// It keeps the first worker busy, so that the next task is for the other.
const first = manager.submit({
  command: "cp --sparse=always in out && cmp in " + process.cwd() + "/large.bin",
  inputs: { in: input }, outputs: { out: temp },
});
const made = await first;
const hold = manager.submit({
  command: "while [ ! -e gate ]; do sleep 0.02; done".replace("gate", process.cwd() + "/gate"),
  inputs: { in: temp },
});
while (manager.status().tasks.triesStarted < 2) await new Promise((done) => setTimeout(done, 10));
const read = await manager.submit({ command: "tail -c 1000 in | sha256sum", inputs: { in: temp } });
const brought = await manager.fetch(temp, "back.bin");
await Bun.write("gate", "");
console.log(JSON.stringify({
  outcomes: [made, read, await hold].map((result) => result.outcome + result.message),
  workerCount: new Set([made.workerId, read.workerId]).size,
  end: read.stdout.slice(0, 64),
  bytes: manager.status().bytes,
}));
`;

/** A file with something to find at its start, in its middle and at its end. */
async function writeLarge(path: string): Promise<void> {
  await using file = await open(path, "w");
  await file.truncate(LARGE_BYTES);
  for (const position of [0, LARGE_BYTES / 2, LARGE_BYTES - 1_000]) {
    await file.write(crypto.getRandomValues(new Uint8Array(1_000)), 0, 1_000, position);
  }
}

async function digestOfEnd(path: string): Promise<string> {
  const bytes = await Bun.file(path).slice(LARGE_BYTES - 1_000).bytes();
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/** A folder in memory where there is one with room: disks of test machines are slow. */
function quickFolder(): string {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    if (bavail * bsize > 5 * LARGE_BYTES) return "/dev/shm";
  } catch {
    // Not Linux.
  }
  return tmpdir();
}

test("A file of 2 GB moves through manager and workers with little memory", async () => {
  await using scratch = await Scratch.open(quickFolder());
  await writeLarge(scratch.path("large.bin"));
  await writeFile(scratch.path("workflow.ts"), WORKFLOW);
  const mark = crypto.randomUUID();
  const temporary = scratch.path("temporary");
  await mkdir(temporary);
  const env = { ...process.env, ...markedEnvironment(mark), TMPDIR: temporary };
  const child = spawn(BINARY, ["run", "--quiet", "workflow.ts"], { cwd: scratch.folder, env });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes) => said += String(bytes));
  }
  const { promise: ended, resolve } = Promise.withResolvers<number | null>();
  let hasEnded = false;
  child.once("exit", (code) => {
    hasEnded = true;
    resolve(code);
  });
  let [peakKiB, answerCount, slowestMs] = [0, 0, 0];
  while (!hasEnded) {
    for (const line of processesOf(mark).filter((line) => / (run|worker) /.test(line))) {
      const peak = /VmHWM:\s+(\d+)/.exec(readProc(Number.parseInt(line), "status"))?.[1];
      peakKiB = Math.max(peakKiB, Number(peak ?? 0));
    }
    const startAtMs = performance.now();
    const answer = Bun.spawn([BINARY, "status", "--name", "large", "--json"], {
      env: { ...process.env },
      stdout: "pipe",
      stderr: "ignore",
    });
    if (await answer.exited !== 0) continue;
    answerCount += 1;
    slowestMs = Math.max(slowestMs, performance.now() - startAtMs);
  }
  expect([await ended, said]).toEqual([0, expect.stringContaining("outcomes")]);
  const { outcomes, workerCount, bytes, end } = JSON.parse(said);
  expect([outcomes, workerCount]).toEqual([["success", "success", "success"], 2]);
  expect(bytes).toEqual({
    managerToWorker: LARGE_BYTES,
    workerToWorker: LARGE_BYTES,
    workerToManager: LARGE_BYTES,
    urlToWorker: 0,
    workerToUrl: 0,
  });
  expect(end).toBe(await digestOfEnd(scratch.path("large.bin")));
  expect(spawnSync("cmp", [scratch.path("large.bin"), scratch.path("back.bin")]).status).toBe(0);
  expect(answerCount).toBeGreaterThan(0);
  expect(slowestMs).toBeLessThan(ANSWER_MS_MAX);
  expect(peakKiB).toBeGreaterThan(0);
  expect(peakKiB).toBeLessThan(MEMORY_KIB_MAX);
}, 120_000);
