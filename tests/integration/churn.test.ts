import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import process from "node:process";

import { type FileHandle, Manager } from "../../mod.ts";
import { Scratch, type ScratchWorker } from "./scratch.ts";

/** A graph of temps: each of a stage is made of two of the stage before. */
const STAGES = 4;
const WIDTH = 50;
const WORKERS = 4;

/** Results after which a worker is killed and another one started. */
const KILL_EACH = 20;

/** What a task writes: 500 lines of a digest of what it read. */
function linesOf(read: string): string {
  return `${createHash("sha256").update(read).digest("hex")}\n`.repeat(500);
}

/** What the files of the last stage must hold. */
function expectedEnds(): string[] {
  let stage = Array.from({ length: WIDTH }, (_, index) => linesOf(`${index}\n`));
  for (let level = 1; level < STAGES; level++) {
    stage = stage.map((text, index) => linesOf(text + stage[(index + 7) % WIDTH]));
  }
  return stage;
}

/** Submits the graph; returns the files of its last stage. */
function submitGraph(manager: Manager): FileHandle[] {
  const write = "h=$(cat in/* | sha256sum | cut -c1-64); yes $h | head -n 500 > out; sleep 0.05";
  const submit = (inputs: Record<string, FileHandle>): FileHandle => {
    const out = manager.temp();
    manager.submit({ command: write, inputs, outputs: { out }, workerLosses: 100, retries: 20 });
    return out;
  };
  let stage = Array.from({ length: WIDTH }, (_, index) => {
    return submit({ "in/a": manager.buffer(`${index}\n`) });
  });
  for (let level = 1; level < STAGES; level++) {
    const before = stage;
    stage = before.map((file, index) => {
      return submit({ "in/a": file, "in/b": before[(index + 7) % WIDTH] ?? file });
    });
  }
  return stage;
}

for (const replicas of [2, 1]) {
  test(
    `A workflow comes to its end while workers are killed, with replicas ${replicas}`,
    async () => {
      await using scratch = await Scratch.open();
      // Those that are killed do not come back: they need not be waited for.
      const policies = { replicas, recoveryTries: 50, reconnectGrace: 100 };
      await using manager = await Manager.start({ policies });
      const workers: ScratchWorker[] = [];
      for (let index = 0; index < WORKERS; index++) workers.push(await scratch.worker(manager));
      const ends = submitGraph(manager);
      let endedCount = 0;
      let killedCount = 0;
      for await (const { outcome, message } of manager.completed()) {
        expect([outcome, message]).toEqual(["success", ""]);
        endedCount += 1;
        if (endedCount % KILL_EACH > 0) continue;
        workers.shift()?.child.kill("SIGKILL");
        killedCount += 1;
        workers.push(await scratch.worker(manager));
      }
      expect(endedCount).toBe(STAGES * WIDTH);
      expect(await Promise.all(ends.map((end) => end.text()))).toEqual(expectedEnds());
      const { recoveries } = manager.status().tasks;
      process.stdout.write(
        `replicas ${replicas}: ${killedCount} workers killed, ${recoveries} recoveries\n`,
      );
      expect(manager.status().refused).toMatchObject({ lie: 0, flood: 0 });
    },
    120_000,
  );
}
