import { expect, test } from "bun:test";

import type { TimedEvent } from "../../manager/core/event.ts";
import type { Fact } from "../../manager/core/fact.ts";
import type { ManagerInstruction } from "../../manager/core/instruction.ts";
import { type Core, Engine } from "../../manager/engine.ts";
import type { FileId, TaskId } from "../../shared/ids.ts";

const undeclared = (id: number) => ({ kind: "file_undeclared", fileId: id as FileId }) as const;

/** An engine around `core` that keeps what it was told to carry out. */
function drive(core: Partial<Core>): {
  engine: Engine;
  carried: ManagerInstruction[];
  bugs: unknown[];
} {
  const carried: ManagerInstruction[] = [];
  const bugs: unknown[] = [];
  const engine = new Engine({
    core: {
      step: () => ({ instructions: [], facts: [] }),
      nextWakeAtMs: () => undefined,
      ...core,
    },
    carryOut: (instruction) => carried.push(instruction),
    endTurn: () => {},
    onBug: (error) => bugs.push(error),
  });
  return { engine, carried, bugs };
}

test("Engine.push() gives the events of one turn to one step, in order and with their time", async () => {
  const seen = Promise.withResolvers<readonly TimedEvent[]>();
  const { engine } = drive({
    step: (events) => (seen.resolve(events), { instructions: [], facts: [] }),
  });
  for (const id of [1, 2, 3]) engine.push(undeclared(id));
  const events = await seen.promise;
  expect(events.map((event) => event.kind === "file_undeclared" && event.fileId)).toEqual(
    [1, 2, 3] as FileId[],
  );
  expect(events.every((event) => event.atMs > 0)).toBe(true);
  engine.close();
});

test("Engine.push() steps at most 1,000 events at a time and loses none", () => {
  const sizes: number[] = [];
  const { engine } = drive({
    step: (events) => (sizes.push(events.length), { instructions: [], facts: [] }),
  });
  for (let id = 0; id < 25_000; id++) engine.push(undeclared(id));
  engine.close();
  expect(Math.max(...sizes)).toBeLessThanOrEqual(1000);
  expect(sizes.reduce((sum, size) => sum + size)).toBe(25_000);
});

test("Engine.note() gathers facts of the dataflow layer in few events, in their place among others", () => {
  const seen: string[] = [];
  const { engine } = drive({
    step: (events) => {
      for (const event of events) {
        if (event.kind !== "app_noted") seen.push(event.kind);
        else {
          const ids = event.facts.map((fact) => fact.callId);
          seen.push(`${ids.length} from ${ids[0]} to ${ids.at(-1)}`);
        }
      }
      return { instructions: [], facts: [] };
    },
  });
  const note = (id: number): void => {
    engine.note({ kind: "app_state", callId: id as TaskId, state: "exec_done", try: 1 });
  };
  for (let id = 1; id <= 40; id++) note(id);
  engine.push(undeclared(7));
  note(41);
  engine.close();
  note(42);
  expect(seen).toEqual([
    "16 from 1 to 16",
    "16 from 17 to 32",
    "8 from 33 to 40",
    "file_undeclared",
    "1 from 41 to 41",
  ]);
});

test("Engine carries out instructions in order before it tells the facts", async () => {
  const order: string[] = [];
  const told = Promise.withResolvers<readonly Fact[]>();
  const facts: Fact[] = [{ kind: "recovery_started", taskId: 7 as TaskId }];
  const engine = new Engine({
    core: {
      step: () => ({
        instructions: [{ kind: "abandon", deliveryId: 1 }, { kind: "abandon", deliveryId: 2 }],
        facts,
      }),
      nextWakeAtMs: () => undefined,
    },
    carryOut: (instruction) =>
      instruction.kind === "abandon" && order.push(`carry ${instruction.deliveryId}`),
    endTurn: () => order.push("end"),
    onBug: told.reject,
  });
  engine.subscribe((batch) => (order.push("facts"), told.resolve(batch)));
  engine.push(undeclared(1));
  expect(await told.promise).toEqual(facts);
  expect(order).toEqual(["carry 1", "carry 2", "end", "facts"]);
  engine.close();
});

test("Engine feeds a tick when nextWakeAtMs is reached", async () => {
  const ticked = Promise.withResolvers<TimedEvent>();
  let wakeAtMs: number | undefined;
  const { engine } = drive({
    step: (events) => {
      const tick = events.find((event) => event.kind === "tick");
      wakeAtMs = tick ? undefined : performance.now() + 5;
      if (tick) ticked.resolve(tick);
      return { instructions: [], facts: [] };
    },
    nextWakeAtMs: () => wakeAtMs,
  });
  engine.push(undeclared(1));
  expect((await ticked.promise).kind).toBe("tick");
  engine.close();
});

test("Engine stands still after an error in the core and reports it once", async () => {
  const told = Promise.withResolvers<unknown>();
  let steps = 0;
  const engine = new Engine({
    core: {
      step: () => {
        steps += 1;
        throw new Error("broken");
      },
      nextWakeAtMs: () => undefined,
    },
    carryOut: () => {},
    endTurn: () => {},
    onBug: told.resolve,
  });
  engine.push(undeclared(1));
  expect(String(await told.promise)).toBe("Error: broken");
  engine.push(undeclared(2));
  engine.close();
  expect(steps).toBe(1);
});

test("Engine.flush() applies what waits, and goes on after it", () => {
  let count = 0;
  const { engine } = drive({
    step: (events) => (count += events.length, { instructions: [], facts: [] }),
  });
  engine.push(undeclared(1));
  engine.flush();
  expect(count).toBe(1);
  engine.push(undeclared(2));
  engine.flush();
  expect(count).toBe(2);
  engine.close();
});

test("Engine.close() applies what waits and drops what comes later", () => {
  let count = 0;
  const { engine } = drive({
    step: (events) => (count += events.length, { instructions: [], facts: [] }),
  });
  engine.push(undeclared(1));
  engine.close();
  engine.push(undeclared(2));
  engine.close();
  expect(count).toBe(1);
});

test("Engine.watchSteps() tells how long the core took for each step, until it is told to stop", () => {
  const { engine } = drive({});
  const told: [number, number][] = [];
  const stop = engine.watchSteps((tookMs, eventCount) => told.push([tookMs, eventCount]));
  engine.push(undeclared(1));
  engine.push(undeclared(2));
  engine.close();
  expect(told.map(([tookMs, eventCount]) => [tookMs >= 0, eventCount])).toEqual([[true, 2]]);
  stop();
});
