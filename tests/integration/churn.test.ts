import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { type FileHandle, Manager } from "../../mod.ts";
import { Scratch, type ScratchWorker, until } from "./scratch.ts";

/** A graph of temps: each of a stage is made of two of the stage before. */
const STAGES = 4;
const WIDTH = 50;
const WORKERS = 4;

/** A worker is killed and another one started in each such time. */
const KILL_EACH_MS = 1_000;

/**
 * Enough for a machine that has nothing else to do, where the graph is done before. On one that
 * is so busy that it makes less in a second than is lost with a worker, it would never be.
 */
const KILLS_MAX = 15;

/** Lines in a file, which with them is large enough to be linked into sandboxes. */
const LINES = 1_000;

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A file says the digest of what follows in its first line, as sha256sum prints it. */
function sealed(body: string): string {
  return `${sha256(body)}  -\n${body}`;
}

/** What a task writes: lines of a digest of what it read. */
function linesOf(read: string): string {
  return sealed(`${sha256(read)}  -\n`.repeat(LINES));
}

/** What the files of the last stage must hold. */
function expectedEnds(): string[] {
  let stage = Array.from({ length: WIDTH }, (_, index) => linesOf(sealed(`${index}\n`)));
  for (let level = 1; level < STAGES; level++) {
    stage = stage.map((text, index) => linesOf(text + stage[(index + 7) % WIDTH]));
  }
  return stage;
}

/** Notes each input that is not what its first line says in `log`, where no retry hides it. */
function checkInputs(log: string): string {
  return 'for f in in/*; do tail -n +2 "$f" | sha256sum | cmp -n 64 - "$f" || ' +
    `{ echo "$f of task $TENDRIL_TASK_ID" >> ${log}; exit 9; }; done`;
}

/** Submits the graph; returns the files of its last stage. */
function submitGraph(manager: Manager, log: string): FileHandle[] {
  const write = `${checkInputs(log)}; h=$(cat in/* | sha256sum); ` +
    `yes "$h" | head -n ${LINES} > body; sha256sum < body | cat - body > out; sleep 0.1`;
  const submit = (inputs: Record<string, FileHandle>): FileHandle => {
    const out = manager.temp();
    manager.submit({ command: write, inputs, outputs: { out }, workerLosses: 100 });
    return out;
  };
  let stage = Array.from({ length: WIDTH }, (_, index) => {
    return submit({ "in/a": manager.buffer(sealed(`${index}\n`)) });
  });
  for (let level = 1; level < STAGES; level++) {
    const before = stage;
    stage = before.map((file, index) => {
      return submit({ "in/a": file, "in/b": before[(index + 7) % WIDTH] ?? file });
    });
  }
  return stage;
}

/** Kills the oldest worker and starts another one, again and again until `signal`; counts. */
async function killWorkers(
  manager: Manager,
  { scratch, workers, signal }: {
    scratch: Scratch;
    workers: ScratchWorker[];
    signal: AbortSignal;
  },
): Promise<number> {
  for (let killedCount = 0; killedCount < KILLS_MAX; killedCount++) {
    await delay(KILL_EACH_MS, undefined, { signal }).catch(() => {});
    // On a busy machine a worker takes its time to join: one must be left.
    await until(() => signal.aborted || manager.status().workers.connected > 1, "two are there");
    if (signal.aborted) return killedCount;
    workers.shift()?.child.kill("SIGKILL");
    workers.push(await scratch.worker(manager));
  }
  return KILLS_MAX;
}

for (const replicas of [2, 1]) {
  test(
    `A workflow comes to its end while a worker is killed each second, with replicas ${replicas}`,
    async () => {
      await using scratch = await Scratch.open();
      // Those that are killed do not come back: they need not be waited for.
      const policies = { replicas, recoveryTries: 50, reconnectGrace: 100 };
      await using manager = await Manager.start({ policies });
      const workers: ScratchWorker[] = [];
      for (let index = 0; index < WORKERS; index++) workers.push(await scratch.worker(manager));
      const log = scratch.path("damaged");
      const startedAtMs = performance.now();
      const ends = submitGraph(manager, log);
      const over = new AbortController();
      const killing = killWorkers(manager, { scratch, workers, signal: over.signal });
      let endedCount = 0;
      for await (const { outcome, message } of manager.completed()) {
        expect([outcome, message]).toEqual(["success", ""]);
        endedCount += 1;
      }
      expect(await Promise.all(ends.map((end) => end.text()))).toEqual(expectedEnds());
      over.abort();
      const killedCount = await killing;
      expect(endedCount).toBe(STAGES * WIDTH);
      expect(existsSync(log)).toBe(false);
      const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
      const { tasks, refused } = manager.status();
      process.stdout.write(
        `replicas ${replicas}: ${killedCount} workers killed in ${seconds} s, ` +
          `${tasks.recoveries} recovery runs, ${tasks.triesStarted} tries\n`,
      );
      expect(killedCount).toBeGreaterThan(2);
      expect(refused).toMatchObject({ lie: 0, flood: 0 });
    },
    120_000,
  );
}
