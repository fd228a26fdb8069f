/** What the tests of whole workflows share: a folder, compiled workers, and their processes. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import type { Manager } from "../../mod.ts";
import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import { BINARY } from "../binary/built.ts";
import { until } from "../until.ts";

export { until };

/** In the environment of all that a test starts, and so of all that those start. */
const MARK_VARIABLE = "ACCEPTANCE_MARK";

/** A compiled worker of a test. */
export interface ScratchWorker {
  readonly child: ChildProcess;
  /** Carried by every process that it starts. */
  readonly mark: string;
  readonly workspace: string;
  /** Resolves to its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  /** What it wrote so far. */
  said(): string;
}

/** How a worker of a test is started. */
export interface ScratchWorkerOptions {
  /** By way of this url alone. */
  readonly url?: string;
  /** It finds this manager, and those after it, by this name. */
  readonly name?: string;
  /** Default 1. */
  readonly cores?: number;
  readonly workspace?: string;
  /** Added to its arguments. */
  readonly args?: readonly string[];
  /** Added to its environment. */
  readonly env?: { readonly [name: string]: string };
  /** A program that starts it, with arguments: `setpriv`, `sh -c`. */
  readonly prefix?: readonly string[];
  /** Where it is started. */
  readonly directory?: string;
}

/** A folder with a home of Tendril in it, and the workers started there; all gone at the end. */
export class Scratch implements AsyncDisposable {
  readonly folder: string;
  readonly #workers: ScratchWorker[] = [];
  readonly #homeBefore: string | undefined = process.env["TENDRIL_HOME"];

  private constructor(folder: string) {
    this.folder = folder;
    process.env["TENDRIL_HOME"] = join(folder, "home");
  }

  static async open(base: string = tmpdir()): Promise<Scratch> {
    return new Scratch(await realpath(await mkdtemp(join(base, "tendril-test-"))));
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** Starts a worker for `manager`, by way of `url` when that is given. */
  async worker(
    manager: Manager,
    options: ScratchWorkerOptions = {},
  ): Promise<ScratchWorker> {
    const mark = randomUUID();
    const workspace = options.workspace ?? this.path(`workspace-${mark}`);
    const args = ["worker", "--verbose", "--workspace", workspace];
    if (options.name === undefined) args.push("--access", await this.#accessOf(manager, options));
    else args.push("--name", options.name);
    args.push("--cores", String(options.cores ?? 1), ...options.args ?? []);
    return this.#start(args, { ...options, mark, workspace });
  }

  /** Writes `access` where nothing else is; returns the path. */
  async accessFile(access: object): Promise<string> {
    const file = this.path(`access-${randomUUID()}.json`);
    await writeFile(file, JSON.stringify(access), { mode: 0o600 });
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child, ended } of this.#workers) {
      child.kill("SIGKILL");
      await ended;
    }
    const marks = this.#workers.map(({ mark }) => mark);
    // The watchers remove the sandboxes.
    await until(() => marks.every((mark) => processesOf(mark).length === 0), "no process is left");
    if (this.#homeBefore === undefined) delete process.env["TENDRIL_HOME"];
    else process.env["TENDRIL_HOME"] = this.#homeBefore;
    await rm(this.folder, { recursive: true, force: true });
  }

  async #accessOf({ name }: Manager, { url }: ScratchWorkerOptions): Promise<string> {
    const access = await readAccessFile(accessPath(name));
    const urls = url === undefined ? access.urls : [url];
    return await this.accessFile({ ...access, urls, secrets: withoutClient(access) });
  }

  #start(
    args: readonly string[],
    options: ScratchWorkerOptions & { readonly mark: string; readonly workspace: string },
  ): ScratchWorker {
    const { mark, workspace } = options;
    const [command = BINARY, ...before] = [...options.prefix ?? [], BINARY];
    const child = spawn(command, [...before, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...options.env, [MARK_VARIABLE]: mark },
      ...(options.directory === undefined ? {} : { cwd: options.directory }),
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes) => said += String(bytes));
    }
    const { promise: ended, resolve } = Promise.withResolvers<number | string>();
    child.once("exit", (code, signal) => resolve(code ?? signal ?? ""));
    const worker = { child, mark, workspace, ended, said: () => said };
    this.#workers.push(worker);
    return worker;
  }
}

/** Variables that mark what a test starts: `processesOf(mark)` finds it wherever it went. */
export function markedEnvironment(mark: string): Record<string, string> {
  return { [MARK_VARIABLE]: mark };
}

/** Command lines of living processes with `mark` in their environment, or as an argument. */
export function processesOf(mark: string): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    const environ = readProc(name, "environ");
    const command = readProc(name, "cmdline").replaceAll("\0", " ");
    const isOne = environ.includes(`${MARK_VARIABLE}=${mark}`) || command.includes(mark);
    return isOne ? [`${name} ${command}`] : [];
  });
}

/** A file of `/proc/PID`, empty when the process is gone. */
export function readProc(processId: number | string, file: string): string {
  try {
    return readFileSync(`/proc/${processId}/${file}`, "latin1");
  } catch {
    return "";
  }
}

/** Waits until all that carries `mark` has gone. */
export async function untilGone(mark: string): Promise<void> {
  try {
    await until(() => processesOf(mark).length === 0, "no process is left");
  } catch (error) {
    throw new Error(`${error}: ${processesOf(mark).join("; ")}`, { cause: error });
  }
}

function withoutClient({ secrets }: AccessFile): object {
  return { worker: secrets.worker };
}
