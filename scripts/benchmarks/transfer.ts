/** One large file to four workers. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { measureCopyMs, writeRandomFile } from "./baselines.ts";
import { type Figure, repeat } from "./figure.ts";
import { timed, withWorkers } from "./workers.ts";

const SIZE_BYTES = 300_000_000;
const WORKER_COUNT = 4;

/** Seconds until all workers have used the file, beside `cp` as often. */
export async function measureTransfer(): Promise<Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-bench-"));
  try {
    const source = join(directory, "source");
    await writeRandomFile(source, SIZE_BYTES);
    const runs = await repeat(async () => {
      const copyMs = await measureCopyMs({ source, directory, count: WORKER_COUNT });
      return { value: await spread(source) / 1000, baseline: copyMs / 1000 };
    });
    const name = `${SIZE_BYTES / 1e6} MB to ${WORKER_COUNT} workers`;
    return [{ name, unit: "s", beside: "cp", aim: "1.0 where the baseline is 0.3", runs }];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Tasks that take a whole worker each. */
async function spread(source: string): Promise<number> {
  return await withWorkers({ count: WORKER_COUNT, cores: 1 }, async (manager) => {
    const input = manager.file(source);
    const hosts = new Set<string | undefined>();
    const ms = await timed(async () => {
      const tasks = Array.from({ length: WORKER_COUNT }, () => {
        return manager.submit({ command: "test -s input", inputs: { input } });
      });
      for (const task of tasks) hosts.add((await task.orThrow()).workerId);
    });
    if (hosts.size === WORKER_COUNT) return ms;
    throw new Error(`Cannot measure: ${hosts.size} of ${WORKER_COUNT} workers had the file`);
  });
}
