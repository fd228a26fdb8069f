/** One large file that a task on each of eight workers needs, with transfers between peers and without. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";
import type { PolicyOptions } from "tendril";

import { measureCopyMs, writeRandomFile } from "./baselines.ts";
import { type Figure, repeat, type Run } from "./figure.ts";
import { timed, withWorkers } from "./workers.ts";

const SIZE_BYTES = 300_000_000;
const WORKER_COUNT = 8;

/** Seconds until every worker has used the file, and how many copies of it the manager sent. */
export async function measureBroadcast(): Promise<Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-bench-"));
  try {
    const source = join(directory, "source");
    await writeRandomFile(source, SIZE_BYTES);
    return [
      ...await figuresOf("among peers", { source, directory, policies: {} }),
      ...await figuresOf("by the manager alone", {
        source,
        directory,
        policies: { peerTransfers: false },
      }),
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Broadcast {
  readonly source: string;
  readonly directory: string;
  readonly policies: PolicyOptions;
}

async function figuresOf(how: string, broadcast: Broadcast): Promise<Figure[]> {
  const { directory, policies: { peerTransfers = true } } = broadcast;
  const copies: Run[] = [];
  const runs = await repeat(async () => {
    const copyMs = await measureCopyMs({ ...broadcast, directory, count: WORKER_COUNT });
    const { ms, copyCount } = await spread(broadcast);
    copies.push({ value: copyCount, baseline: 0 });
    return { value: ms / 1000, baseline: copyMs / 1000 };
  });
  const name = `${SIZE_BYTES / 1e6} MB to ${WORKER_COUNT} workers, ${how}`;
  const aim = peerTransfers ? "at most 4" : String(WORKER_COUNT);
  return [
    { name, unit: "s", beside: "cp", aim: "3 times the baseline", runs },
    { name: "copies that the manager sent", unit: "copies", beside: "", aim, runs: copies },
  ];
}

/** Tasks that take a whole worker each. */
async function spread(
  { source, policies }: Broadcast,
): Promise<{ readonly ms: number; readonly copyCount: number }> {
  return await withWorkers({ count: WORKER_COUNT, cores: 1 }, async (manager) => {
    const input = manager.file(source);
    const workers = new Set<string | undefined>();
    const ms = await timed(async () => {
      const tasks = Array.from({ length: WORKER_COUNT }, () => {
        return manager.submit({ command: "test -s input", inputs: { input } });
      });
      for (const task of tasks) workers.add((await task.orThrow()).workerId);
    });
    if (workers.size < WORKER_COUNT) {
      throw new Error(`Cannot measure: ${workers.size} of ${WORKER_COUNT} workers had the file`);
    }
    return { ms, copyCount: manager.status().bytes.managerToWorker / SIZE_BYTES };
  }, { policies });
}
