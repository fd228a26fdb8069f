import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { join } from "@std/path";

import { BINARY, ROOT } from "../binary/built.ts";

const SCRIPT = join(ROOT, "scripts/examples/mnist.ts");
const TRAINING_COUNT = 4;
const TASK_COUNT: number = TRAINING_COUNT * 11;

/** What the workflow must print and leave, whatever happens to its workers. */
interface Outcome {
  /** Rows of the table up to the accuracy of each model. */
  readonly models: readonly string[];
  readonly bestAccuracy: number;
  /** SHA-256 of the best model. */
  readonly bestModel: string;
  readonly peerBytes: number;
}

let folder = "";
let undisturbed: Outcome;

/** A run of the workflow, with its temporary files in a folder of its own. */
class Run {
  readonly folder: string;
  readonly #child: ChildProcess;
  output = "";

  private constructor(path: string, command: readonly string[]) {
    this.folder = path;
    const [file = "", ...args] = command;
    const options = ["--models", String(TRAINING_COUNT), "--epochs", "3", "--directory", path];
    this.#child = spawn(file, [...args, SCRIPT, ...options], {
      cwd: ROOT,
      env: { ...process.env, TMPDIR: path, TENDRIL_HOME: join(path, "home") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.output += text);
    }
  }

  static async start(name: string, ...command: string[]): Promise<Run> {
    const path = join(folder, name);
    await mkdir(path);
    return new Run(path, command.length > 0 ? command : [BINARY, "run", "--quiet"]);
  }

  /** Resolves when the workflow has told of the end of a training. */
  async trained(): Promise<void> {
    await until(() => /train model \d +success/.test(this.output) || this.#hasEnded);
  }

  /** Processes that belong to local worker `number`, itself first. */
  processesOf(number: number): number[] {
    const worker = childrenOf(this.#child.pid ?? 0).filter((pid) =>
      read(`/proc/${pid}/cmdline`).includes(`/worker-${number}\0`)
    );
    return [...new Set([...worker, ...worker.flatMap(descendantsOf), ...this.inWorkspace(number)])];
  }

  /** Processes that were started with, or are in, the workspace of local worker `number`. */
  inWorkspace(number: number): number[] {
    // Not those of a worker that took its place.
    const mark = new RegExp(`/workers/worker-${number}(?![\\d-])`);
    return processes().filter((pid) =>
      ["cmdline", "environ"].some((name) => {
        const text = read(`/proc/${pid}/${name}`);
        return text.includes(this.folder) && mark.test(text);
      }) || mark.test(workingDirectory(pid)) && workingDirectory(pid).includes(this.folder)
    );
  }

  async outcome(): Promise<Outcome> {
    if (!this.#hasEnded) await once(this.#child, "close");
    expect(`${this.#child.exitCode} ${this.#child.exitCode === 0 ? "" : this.output}`).toBe("0 ");
    const reported = [...this.output.matchAll(/^ +(\d+) +(?:train|test) model \d+ +(\w+) /gm)];
    expect(reported.map(([, id]) => Number(id)).sort((a, b) => a - b))
      .toEqual(Array.from({ length: TASK_COUNT }, (_, index) => index + 1));
    expect(new Set(reported.map(([, , outcome]) => outcome))).toEqual(new Set(["success"]));
    const path = /^best model: (.+)$/m.exec(this.output)?.[1] ?? "";
    const peerBytes = /^worker→worker bytes: (\d+)$/m.exec(this.output)?.[1];
    expect(this.output).toMatch(/^manager→worker bytes: \d+$/m);
    expect(this.output).toMatch(/^worker→manager bytes: \d+$/m);
    return {
      models: [...this.output.matchAll(/^ +\d+ +0\.\d\d? +0\.\d{4} /gm)].map(([row]) => row),
      bestAccuracy: Number(/^best accuracy: (0\.\d{4})$/m.exec(this.output)?.[1]),
      bestModel: createHash("sha256").update(readFileSync(path)).digest("hex"),
      peerBytes: Number(peerBytes),
    };
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tendril-test-"));
  undisturbed = await (await Run.start("undisturbed")).outcome();
}, 120_000);

afterAll(async () => await rm(folder, { recursive: true, force: true }));

test("mnist.ts trains and tests on two workers, which pass models to each other", () => {
  expect(undisturbed.models.length).toBe(TRAINING_COUNT);
  expect(undisturbed.bestAccuracy).toBeGreaterThan(0.92);
  expect(undisturbed.peerBytes).toBeGreaterThan(0);
  // Nothing but what the run directory is for; the temporary files of the run were there too.
  const [run, ...others] = readdirSync(join(folder, "undisturbed")).sort();
  expect(run).toMatch(/^\d{4}-\d\d-\d\dT[-\d]+$/);
  expect(others).toEqual(["best-model", "environment.tar.gz", "home", "latest"]);
});

for (const runtime of ["deno", "bun"]) {
  test(`mnist.ts gives the same result with its manager on ${runtime}`, async () => {
    const command = runtime === "deno" ? ["deno", "run", "-A"] : ["bun"];
    const { models, bestModel } = await (await Run.start(runtime, ...command)).outcome();
    expect({ models, bestModel })
      .toEqual({ models: undisturbed.models, bestModel: undisturbed.bestModel });
  }, 120_000);
}

const SIGNALS = [["SIGKILL", 2_000], ["SIGTERM", 5_000]] as const;
for (const [signal, limitMs] of SIGNALS) {
  test(
    `mnist.ts gives the same result when a worker gets ${signal} and leaves`,
    async () => {
      const run = await Run.start(signal);
      await run.trained();
      // The worker, its watcher, and a task or an instance: between two of them there is neither.
      await until(() => run.processesOf(1).length > 2);
      const ids = run.processesOf(1).map((pid) => ({ pid, startedAt: startOf(pid) }));
      process.kill(ids[0]?.pid ?? 0, signal);
      await until(() => {
        const left = ids.filter(({ pid, startedAt }) =>
          startedAt !== "" && startOf(pid) === startedAt
        );
        return left.length === 0 && run.inWorkspace(1).length === 0;
      }, limitMs);
      // Workers end with their workflow: this one must have ended before.
      expect(run.output).not.toInclude("best accuracy");
      const { models, bestModel } = await run.outcome();
      expect({ models, bestModel })
        .toEqual({ models: undisturbed.models, bestModel: undisturbed.bestModel });
    },
    120_000,
  );
}

async function until(condition: () => boolean, limitMs = 60_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`Still not so after ${limitMs} ms`);
    await delay(5);
  }
}

function processes(): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
}

function childrenOf(parent: number): number[] {
  return processes().filter((pid) => statOf(pid)[1] === String(parent));
}

function descendantsOf(parent: number): number[] {
  return childrenOf(parent).flatMap((pid) => [pid, ...descendantsOf(pid)]);
}

/** What tells a process from a later one with its number; empty when it is dead. */
function startOf(pid: number): string {
  const stat = statOf(pid);
  return stat[0] === "Z" ? "" : stat[19] ?? "";
}

/** Fields of `/proc/PID/stat` after the name: state, parent, …; see proc(5). */
function statOf(pid: number): string[] {
  const text = read(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function workingDirectory(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    // It has ended.
    return "";
  }
}

function read(path: string): string {
  try {
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  } catch {
    // It has ended.
    return "";
  }
}
