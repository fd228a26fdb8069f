/**
 * Function calls that do nothing, on two slots. Beside them: the same number of messages to and
 * from two bare children over Bun's own channel, with as many under way at a time as a call loop
 * without a manager would have.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";

import { type Figure, repeat } from "./figure.ts";
import { timed, withWorkers } from "./workers.ts";

const CALL_COUNT = 60_000;
const SLOT_COUNT = 2;
const UNDER_WAY = 64;

/** The function that is called. */
export function nothing(value: number): number {
  return value;
}

/** Calls a second. */
export async function measureCalls(): Promise<Figure[]> {
  const runs = await repeat(async () => {
    const baseline = CALL_COUNT / await timed(echo) * 1000;
    const value = await withWorkers({ count: 1, cores: SLOT_COUNT }, async (manager) => {
      const library = manager.library({
        name: "nothing",
        module: import.meta.url,
        slots: SLOT_COUNT,
        cores: SLOT_COUNT,
      });
      const callMany = async (count: number) => {
        const calls = Array.from({ length: count }, (_, id) => library.call("nothing", id));
        for (const call of calls) await call.orThrow();
      };
      await callMany(1000);
      return CALL_COUNT / await timed(() => callMany(CALL_COUNT)) * 1000;
    });
    return { value, baseline };
  });
  return [{ name: "no-op calls", unit: "calls/s", beside: "bare messages", aim: "30000", runs }];
}

async function echo(): Promise<void> {
  const perChild = CALL_COUNT / SLOT_COUNT;
  await Promise.all(Array.from({ length: SLOT_COUNT }, async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let [sent, heard] = [0, 0];
    await using child = Bun.spawn({
      cmd: [process.execPath, fileURLToPath(new URL("echo.ts", import.meta.url).href)],
      stdio: ["ignore", "ignore", "inherit"],
      ipc: (_message, subprocess) => {
        heard += 1;
        if (sent < perChild) subprocess.send(sent++);
        if (heard === perChild) resolve();
      },
    });
    while (sent < UNDER_WAY) child.send(sent++);
    await promise;
  }));
}
