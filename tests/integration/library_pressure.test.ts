import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";

import { Manager, type TaskHandle } from "../../mod.ts";
import { Scratch, until, untilGone } from "./scratch.ts";

const TASK_COUNT = 100;
const CALL_COUNT = 10_000;
/** Of those that return more than a message holds. */
const LARGE_COUNT = 10;
const LARGE_BYTES = 1_500_000;
/** Ends after which a worker is killed. */
const KILL_AFTER = 3_000;

const JAVASCRIPT = `
import { readFileSync } from "node:fs";
export const twice = (n: number): number => 2 * n;
export const read = (path: string): number => Number(readFileSync(path, "utf8"));
export const fill = (size: number): Uint8Array => new Uint8Array(size).fill(size % 251);
`;

const PYTHON = `
def thrice(n):
    return 3 * n

def read(path):
    with open(path) as file:
        return int(file.read())

def add(a, b):
    return a + b

def weigh(data):
    return len(data) + data[-1]
`;

interface Expected {
  readonly handle: TaskHandle<unknown>;
  readonly value: unknown;
}

test(
  "100 tasks and 10,000 calls on 4 workers end right and once when a worker gets SIGKILL",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start({
      policies: { waitForWorkers: 4, reconnectGrace: "500ms" },
    });
    const ends = new Map<number, number>();
    manager.subscribe((facts) => {
      for (const fact of facts) {
        if (fact.kind === "task_ended") ends.set(fact.taskId, 1 + (ends.get(fact.taskId) ?? 0));
      }
    });
    const workers = await Promise.all(
      Array.from({ length: 4 }, () => scratch.worker(manager, { cores: 2 })),
    );
    const { tasks, calls } = submitAll(scratch, manager);
    await until(() => ends.size >= KILL_AFTER, "a part has ended");
    const [victim] = workers;
    victim?.child.kill("SIGKILL");
    await untilGone(victim?.mark ?? "");
    expect((await Promise.all(tasks)).filter(({ outcome }) => outcome !== "success")).toEqual([]);
    for (const { handle, value } of calls) expect(await handle.value()).toEqual(value);
    expect([calls.length, ends.size]).toEqual([CALL_COUNT, CALL_COUNT + TASK_COUNT]);
    expect([...ends.values()].filter((count) => count !== 1)).toEqual([]);
    expect(manager.status().refused).toMatchObject({ lie: 0, flood: 0 });
  },
  120_000,
);

/** Each task leaves a number in a temp, which calls read and add up; the others need no file. */
function submitAll(
  scratch: Scratch,
  manager: Manager,
): { readonly tasks: readonly TaskHandle[]; readonly calls: readonly Expected[] } {
  const module = scratch.path("numbers.ts");
  writeFileSync(module, JAVASCRIPT);
  const script = manager.library({ name: "script", module, cores: 1 });
  const python = manager.library({ name: "python", python: PYTHON, cores: 1 });
  const calls: Expected[] = [];
  const tasks: TaskHandle[] = [];
  for (let n = 0; n < TASK_COUNT; n++) {
    const number = manager.temp();
    tasks.push(manager.submit({ command: `echo ${n} > n`, outputs: { n: number }, cores: 1 }));
    const [one, other] = [script.call("read", number), python.call("read", number)];
    const sum = python.call("add", one, other);
    calls.push({ handle: one, value: n }, { handle: other, value: n });
    calls.push({ handle: sum, value: 2 * n }, { handle: script.call("twice", sum), value: 4 * n });
  }
  for (let index = 0; index < LARGE_COUNT; index++) {
    const size = LARGE_BYTES + index;
    const filled = script.call<Uint8Array>("fill", size);
    calls.push({ handle: python.call("weigh", filled), value: size + size % 251 });
    calls.push({ handle: filled, value: new Uint8Array(size).fill(size % 251) });
  }
  for (let n = calls.length; n < CALL_COUNT; n++) {
    const isEven = n % 2 === 0;
    const handle = isEven ? script.call("twice", n) : python.call("thrice", n);
    calls.push({ handle, value: isEven ? 2 * n : 3 * n });
  }
  return { tasks, calls };
}
