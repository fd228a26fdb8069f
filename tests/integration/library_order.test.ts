import { expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";

import { type Library, Manager } from "../../mod.ts";
import { declareGated, type Gate, LIBRARY_KINDS } from "./gated_library.ts";
import { Scratch, until } from "./scratch.ts";

/** Calls after which it is known that they are short. */
const WARM_COUNT = 32;
const LOW_COUNT = 10_000;
/** More than are given to one worker at a time. */
const EARLY_MAX = 1_000;

const NOTING = `
import { appendFileSync, existsSync, writeFileSync } from "node:fs";
export const note = ([log, n]) => appendFileSync(log, n + "\\n");
export function hold(begun, gate) {
  writeFileSync(begun, "");
  while (!existsSync(gate)) Bun.sleepSync(5);
}
`;

/** The calls that ran after the first, short ones, in their order. */
function notedIn(log: string): number[] {
  return readFileSync(log, "latin1").trim().split("\n").slice(WARM_COUNT).map(Number);
}

/** Has short calls run, so that others are put into the pipe behind one that runs. */
async function warmUp(library: Library, { gate, pid }: Gate): Promise<void> {
  writeFileSync(gate, "");
  await library.map("work", Array.from({ length: WARM_COUNT }, () => 0), { chunk: 1 });
  rmSync(gate);
  rmSync(pid);
}

test("A call of high priority runs before 10,000 others that are not in an instance", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const [module, log, gate, begun] = ["module.js", "log", "gate", "begun"].map((name) => {
    return scratch.path(name);
  }) as [string, string, string, string];
  writeFileSync(module, NOTING);
  const library = manager.library({ name: "noting", module });
  const warm = Array.from({ length: WARM_COUNT }, () => library.call("note", [log, 0]));
  await Promise.all(warm.map((call) => call.value()));
  const held = library.call("hold", begun, gate);
  const low = Array.from({ length: LOW_COUNT }, () => library.call("note", [log, 1]));
  await until(() => existsSync(begun), "the first call runs");
  const urgent = library.with({ priority: 1 }).call("note", [log, 2]);
  await until(() => urgent.explain().reasons[0]?.kind !== "not_seen", "the manager knows it");
  // They may be in the instance; all others are given out after the urgent one.
  const early = low.slice(0, EARLY_MAX).filter((call) => call.explain().state !== "ready");
  writeFileSync(gate, "");
  await Promise.all([held.value(), urgent.value(), ...low]);
  const noted = notedIn(log);
  expect(noted.length).toBe(LOW_COUNT + 1);
  expect(early.length).toBeLessThan(EARLY_MAX);
  expect(noted.indexOf(2)).toBeLessThanOrEqual(early.length);
}, 120_000);

// A command serves one call after the other, none of them in its pipe.
test.each(LIBRARY_KINDS.filter((kind) => kind !== "command"))(
  "Calls of a %s library behind one that runs never run once cancelled or expired",
  async (kind) => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const { library, gate } = declareGated(manager, { scratch, kind });
    await warmUp(library, gate);
    const running = library.call<number>("work", 1);
    await until(() => existsSync(gate.pid), "the first call runs");
    const cancelled = library.call<number>("work", 2);
    const expired = library.with({ endBy: new Date(Date.now() + 500) }).call<number>("work", 3);
    const last = library.call<number>("work", 4);
    // One that is in the pipe of the library already counts as running.
    const isAtWorker = () => /^(dispatched|running)$/.test(last.explain().state);
    await until(isAtWorker, "they are at the worker");
    cancelled.cancel();
    expect((await cancelled).outcome).toBe("cancelled");
    expect((await expired).outcome).toBe("expired");
    writeFileSync(gate.gate, "");
    expect([await running.value(), await last.value()]).toEqual([1, 4]);
    expect(notedIn(gate.log)).toEqual([1, 4]);
  },
  120_000,
);

test("A call that runs when its endBy passes is ended, and its slot serves the next", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const { library, gate } = declareGated(manager, { scratch, kind: "Python fork" });
  await warmUp(library, gate);
  // Long enough for the call to run before, on a busy machine too.
  const endBy = new Date(Date.now() + 3_000);
  const running = library.with({ endBy }).call<number>("work", 1);
  const next = library.call<number>("work", 2);
  await until(() => existsSync(gate.pid), "the call runs");
  const child = readFileSync(gate.call, "latin1");
  expect((await running).outcome).toBe("expired");
  await until(() => !existsSync(`/proc/${child}`), "its process has gone");
  writeFileSync(gate.gate, "");
  expect(await next.value()).toBe(2);
  expect(notedIn(gate.log)).toEqual([2]);
}, 120_000);
