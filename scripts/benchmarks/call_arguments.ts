/**
 * Calls with arguments of some size, on two slots. Beside them: the same bytes, in blocks of that
 * size, over a pipe between two processes.
 */
import { randomFillSync } from "node:crypto";

import { type CalledLibrary, callMany, JAVASCRIPT, PYTHON_DIRECT } from "./call_libraries.ts";
import { type Figure, repeat } from "./figure.ts";
import { timed, withWorkers } from "./workers.ts";

const SLOT_COUNT = 2;

interface ArgumentBench {
  readonly title: string;
  readonly sizeBytes: number;
  readonly count: number;
}

const SIZES: readonly ArgumentBench[] = [
  { title: "1 KB", sizeBytes: 1_000, count: 20_000 },
  { title: "100 KB", sizeBytes: 100_000, count: 2_000 },
];

/** Calls and megabytes a second, by language and size. */
export async function measureCallArguments(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const library of [JAVASCRIPT, PYTHON_DIRECT]) {
    for (const bench of SIZES) figures.push(...await measureSize(library, bench));
  }
  return figures;
}

async function measureSize(
  { title, declare }: CalledLibrary,
  { title: sizeTitle, sizeBytes, count }: ArgumentBench,
): Promise<Figure[]> {
  // Nothing that could be made smaller on its way.
  const bytes = randomFillSync(new Uint8Array(sizeBytes));
  const runs = await repeat(async () => {
    const baseline = await measurePipeRate(sizeBytes, count);
    const value = await withWorkers({ count: 1, cores: SLOT_COUNT }, async (manager) => {
      const library = declare(manager, SLOT_COUNT);
      await callMany(library, count / 10, ["size", bytes]);
      return count / await timed(() => callMany(library, count, ["size", bytes])) * 1000;
    });
    return { value, baseline };
  });
  const name = `calls with ${sizeTitle}, ${title}`;
  const [beside, aim] = ["copies over a pipe", ""];
  const megabytes = runs.map(({ value, baseline }) => ({
    value: value * sizeBytes / 1e6,
    baseline: baseline * sizeBytes / 1e6,
  }));
  return [
    { name, unit: "calls/s", beside, aim, runs },
    { name, unit: "MB/s", beside, aim, runs: megabytes },
  ];
}

/** Blocks a second that go over a pipe. */
async function measurePipeRate(sizeBytes: number, count: number): Promise<number> {
  const blocks = `bs=${sizeBytes}`;
  const command = `dd if=/dev/zero ${blocks} count=${count} | dd ${blocks} of=/dev/null`;
  const ms = await timed(async () => {
    const cmd = ["/bin/sh", "-c", command];
    const { exited } = Bun.spawn({ cmd, stdio: ["ignore", "ignore", "ignore"] });
    if (await exited !== 0) throw new Error(`Cannot run "${command}": exit code ${await exited}`);
  });
  return count / ms * 1000;
}
