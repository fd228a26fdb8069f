/** Two hundred workers find the next manager of the name, however the one before it ended. */

import { expect, test } from "bun:test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import type { ManagerStatus } from "../../mod.ts";
import { BINARY, ROOT } from "../binary/built.ts";
import { Scratch, until } from "./scratch.ts";

const NAME = "restarted";
const WORKER_COUNT = 200;
/** Each with its share of the workers. */
const PROCESS_COUNT = 4;

/** The machine may be busy with other tests; what it took is told. */
const JOIN_MS_MAX = 40_000;

/** Stays until it is told to end, and then releases its workers. */
const WORKFLOW = `
import { Manager } from "tendril";
const manager = await Manager.start();
console.log("listens");
await new Promise((resolve) => process.stdin.once("data", resolve));
await manager.close();
`;

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
}

function start(command: string, args: readonly string[]): Started {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  child.once("close", () => resolve());
  return { child, ended };
}

/** A manager that listens. */
async function startManager(script: string): Promise<Started> {
  const started = start(BINARY, ["run", "--quiet", "--name", NAME, script]);
  let said = "";
  started.child.stdout?.on("data", (bytes) => said += String(bytes));
  await until(() => said.includes("listens"), "the manager listens");
  return started;
}

function askStatus(): ManagerStatus {
  return JSON.parse(
    execFileSync(BINARY, ["status", "--name", NAME, "--json"], { encoding: "utf8" }),
  );
}

/** What it took, in seconds, until `status` showed all workers; none may have been refused. */
async function allJoined(): Promise<number> {
  const startedAtMs = performance.now();
  let status = askStatus();
  const isFull = () => (status = askStatus()).workers.connected === WORKER_COUNT;
  await until(isFull, `${WORKER_COUNT} workers are connected`, JOIN_MS_MAX);
  const refused = Object.entries(status.refused).filter(([, count]) => count > 0);
  expect(refused).toEqual([]);
  return (performance.now() - startedAtMs) / 1000;
}

test(
  "200 workers come back to a manager that was killed, and to one that let them go",
  async () => {
    await using scratch = await Scratch.open();
    const script = scratch.path("workflow.mjs");
    writeFileSync(script, WORKFLOW);
    const started: Started[] = [];
    const run = async (promise: Promise<Started> | Started): Promise<Started> => {
      const one = await promise;
      started.push(one);
      return one;
    };
    try {
      const first = await run(startManager(script));
      const share = WORKER_COUNT / PROCESS_COUNT;
      let complaints = "";
      for (let index = 0; index < PROCESS_COUNT; index++) {
        const program = join(ROOT, "tests/integration/light_workers.ts");
        const workers = await run(
          start("bun", [program, NAME, String(index * share), String(share)]),
        );
        workers.child.stdout?.on("data", (bytes) => complaints += String(bytes));
      }
      const times = [await allJoined()];
      first.child.kill("SIGKILL");
      await first.ended;
      const second = await run(startManager(script));
      times.push(await allJoined());
      second.child.stdin?.end("end\n");
      await second.ended;
      await run(startManager(script));
      times.push(await allJoined());
      expect(complaints).toBe("");
      const told = times.map((seconds) => `${seconds.toFixed(2)} s`).join(", ");
      process.stderr.write(
        `${WORKER_COUNT} workers joined, after a kill, after a release: ${told}\n`,
      );
    } finally {
      for (const { child, ended } of started) {
        child.kill("SIGKILL");
        await ended;
      }
    }
  },
  180_000,
);
