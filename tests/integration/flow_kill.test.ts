/**
 * A script whose process is killed at 20 random moments, and started again each time. A call is
 * finished once its future has settled: then it never runs again. One that runs when the process is
 * killed may run twice: whether it had come to its end nobody could be told any more.
 *
 * @module
 */

import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";

import { join } from "@std/path";

import { newRandom, nextRandomBelow } from "../../shared/random.ts";
import { ROOT } from "../binary/built.ts";
import { markedEnvironment, processesOf, Scratch, until } from "./scratch.ts";

const KILLS = 20;
const CALLS = 60;

/** After so many further calls that ran or settled, at most, a process is killed, ... */
const EVENTS_MAX = 10;

/** ... and so many milliseconds later, at most. */
const LATER_MS_MAX = 40;

/** Ids of calls that have settled, in the order in which they did. */
function settledIn(folder: string): readonly string[] {
  const path = join(folder, "settled");
  return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
}

/** `{id: how often it ran}` */
function runsIn(folder: string): ReadonlyMap<string, number> {
  const ran = join(folder, "ran");
  return new Map(
    readdirSync(ran).map((id) => [id, readFileSync(join(ran, id), "utf8").split("\n").length - 1]),
  );
}

/** Runs the script; it is killed once that many more things have happened and then some time. */
async function runScript(
  folder: string,
  kill?: { readonly events: number; readonly laterMs: number },
): Promise<number | string> {
  const mark = randomUUID();
  const script = join(ROOT, "tests/integration/flow_kill_script.ts");
  const child = spawn(process.execPath, [script, folder], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, ...markedEnvironment(mark) },
  });
  let end: number | string | undefined;
  child.once("exit", (code, signal) => end = code ?? signal ?? "");
  const eventCount = (): number => {
    return new Set(settledIn(folder)).size + readdirSync(join(folder, "ran")).length;
  };
  const wanted = eventCount() + (kill?.events ?? Infinity);
  while (end === undefined && eventCount() < wanted) await delay(5);
  if (kill !== undefined) await delay(kill.laterMs);
  child.kill("SIGKILL");
  await until(() => end !== undefined, "the script has ended");
  // Its workers would wait for it for a while: the machine goes down with all that ran there.
  await until(() => {
    const left = processesOf(mark).map((line) => Number.parseInt(line));
    for (const pid of left) endProcess(pid);
    return left.length === 0;
  }, "nothing of it is left");
  return end ?? "";
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

/** What the script comes to, one call after the other. */
function plainTotal(): string {
  const lanes = [0, 1, 2, 3];
  for (let round = 0; round < CALLS / 3; round++) {
    lanes[round % 4] = (3 * lanes[round % 4]! + 1 + 2) % 1000;
  }
  return lanes.join(" ");
}

test(
  "A script that is killed at any moment and started again does no finished call twice",
  async () => {
    await using scratch = await Scratch.open();
    const { folder } = scratch;
    for (const name of ["ran", "out"]) mkdirSync(join(folder, name));
    const random = newRandom(8);
    /** `{id of a finished call: how often it had run}` */
    const finished = new Map<string, number>();
    let duplicates = 0;
    for (let round = 0; round < KILLS; round++) {
      const kill = {
        events: nextRandomBelow(random, EVENTS_MAX),
        laterMs: nextRandomBelow(random, LATER_MS_MAX),
      };
      await runScript(folder, kill);
      const runs = runsIn(folder);
      for (const [id, count] of finished) {
        expect([round, id, runs.get(id)]).toEqual([round, id, count]);
      }
      for (const id of settledIn(folder)) finished.set(id, runs.get(id) ?? 0);
    }
    expect(await runScript(folder)).toBe(0);
    expect(readFileSync(join(folder, "total"), "utf8")).toBe(plainTotal());
    const runs = runsIn(folder);
    expect(runs.size).toBe(CALLS);
    for (const [id, count] of finished) expect([id, runs.get(id)]).toEqual([id, count]);
    for (const count of runs.values()) duplicates += count - 1;
    // Of those under way at a kill, a few at a time.
    expect(duplicates).toBeLessThan(KILLS * 4 + 1);
    expect(finished.size).toBeGreaterThan(CALLS / 3);
    const database = new DatabaseSync(join(folder, "memo.db"));
    expect(database.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
    database.close();
  },
  180_000,
);
