import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

import { type Fact, Manager } from "../../mod.ts";
import { declareGated, LIBRARY_KINDS } from "./gated_library.ts";
import { Scratch, until } from "./scratch.ts";

const CALL_COUNT = 100;
const NUMBERS: readonly number[] = Array.from({ length: CALL_COUNT }, (_, n) => n);

test.each(LIBRARY_KINDS)(
  "Calls of a %s library end once and right when a process of it gets SIGKILL amid them",
  async (kind) => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const facts: Fact[] = [];
    manager.subscribe((more) => facts.push(...more));
    const { library, gate } = declareGated(manager, { scratch, kind, slots: 2 });
    const calls = NUMBERS.map((n) => library.call<number>("work", n));
    await until(() => existsSync(gate.pid), "a call runs");
    const killed = readFileSync(gate.pid, "latin1");
    process.kill(Number(killed), "SIGKILL");
    await until(() => readFileSync(gate.pid, "latin1") !== killed, "calls run in another process");
    writeFileSync(gate.gate, "");
    expect(await Promise.all(calls.map((call) => call.value()))).toEqual([...NUMBERS]);
    const ended = facts.filter((fact) => fact.kind === "task_ended").map(({ taskId }) => taskId);
    expect([ended.length, new Set(ended).size]).toEqual([CALL_COUNT, CALL_COUNT]);
    const ran = readFileSync(gate.log, "latin1").trim().split("\n").map(Number);
    expect(ran.toSorted((a, b) => a - b)).toEqual([...NUMBERS]);
  },
  120_000,
);
