/** Starts the Python host of libraries for tests and speaks the call protocol with it. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";

import { decodeValue, encodeArguments } from "../../../shared/value.ts";
import {
  type CallMessage,
  encodeCall,
  encodeDrop,
  encodeStop,
  encodeSync,
  type LibraryMessage,
  newMessageBuffer,
  readLibraryMessages,
  type ResultMessage,
} from "../../../worker/library/call_protocol.ts";

const HOST = join(import.meta.dirname ?? "", "../../../worker/library/python/host.py");

/** The `python3` on the PATH; what is found there may be a script that starts it. */
export const PYTHON: string = execFileSync("python3", [
  "-c",
  "import sys; print(sys.executable)",
], { encoding: "utf8" }).trim();

/** How a host under test is started. */
export interface PythonHostOptions {
  /** Source of the library, or files of a package by their names; the library is named `lib`. */
  readonly source: string | { readonly [path: string]: string };
  readonly name?: string;
  readonly mode?: "direct" | "fork";
  readonly slots?: number;
  readonly context?: string;
  readonly contextArguments?: readonly unknown[];
  readonly isPickling?: boolean;
  /** Program, instead of `PYTHON`. */
  readonly python?: string;
  /** Runs in its working directory before it is started. */
  readonly prepare?: (directory: string) => void;
  /** Options of Python itself. */
  readonly flags?: readonly string[];
}

/** A running host. */
export class PythonHost implements AsyncDisposable {
  /** Its working directory is `work` below it. */
  readonly directory: string;
  readonly #child: ChildProcess;
  readonly #messages: LibraryMessage[] = [];
  readonly #ended: Promise<unknown>;
  #log = "";
  #isEnded = false;
  #callId = 0;
  #wake: () => void = () => {};

  constructor(options: PythonHostOptions) {
    const { source, name = "lib", mode = "direct", slots = 1, python = PYTHON } = options;
    this.directory = mkdtempSync(join(tmpdir(), "tendril-python-"));
    const isPackage = typeof source !== "string";
    const files = isPackage ? source : { [`${name}.py`]: source };
    for (const [path, text] of Object.entries(files)) {
      const whole = join(this.directory, "library", isPackage ? name : "", path);
      mkdirSync(dirname(whole), { recursive: true });
      writeFileSync(whole, text);
    }
    mkdirSync(join(this.directory, "work"));
    options.prepare?.(join(this.directory, "work"));
    const module = join(this.directory, "library", isPackage ? name : `${name}.py`);
    const args = [...options.flags ?? [], HOST, "--module", module, "--name", name, "--mode", mode];
    if (options.context !== undefined) args.push("--context", options.context);
    if (options.contextArguments !== undefined) {
      const path = join(this.directory, "context-call");
      const call = callOf(0, options.context ?? "", options.contextArguments);
      writeFileSync(path, Buffer.concat(encodeCall(call, 0)));
      args.push("--context-call", path);
    }
    if (options.isPickling === true) args.push("--pickle");
    this.#child = spawn(python, args, {
      cwd: join(this.directory, "work"),
      env: environmentOf(slots),
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
    });
    const buffer = newMessageBuffer();
    (this.#child.stdio[4] as Readable).on("data", (chunk: Uint8Array) => {
      this.#messages.push(...readLibraryMessages(buffer, chunk));
      this.#wake();
    });
    (this.#child.stdio[3] as Writable).on("error", () => {});
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Uint8Array) => {
        this.#log += chunk.toString();
        this.#wake();
      });
    }
    this.#ended = once(this.#child, "close").then(() => {
      this.#isEnded = true;
      this.#wake();
    });
  }

  /** Starts a host and resolves when it is ready. */
  static async start(options: PythonHostOptions | string): Promise<PythonHost> {
    const host = new PythonHost(typeof options === "string" ? { source: options } : options);
    const message = await host.next();
    if (message.kind === "ready") return host;
    await host[Symbol.asyncDispose]();
    throw new Error(message.kind === "failed" ? message.text : message.kind);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it printed outside of calls. */
  get log(): string {
    return this.#log;
  }

  /** `exit code 3`, `killed by SIGKILL`, once it has ended. */
  async ended(): Promise<string> {
    await this.#ended;
    const { exitCode, signalCode } = this.#child;
    return signalCode === null ? `exit code ${exitCode}` : `killed by ${signalCode}`;
  }

  /** Resolves with the next message that was not taken. */
  async next(): Promise<LibraryMessage> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#isEnded) throw new Error(`The host has ended: ${await this.ended()}\n${this.log}`);
      await this.changed();
    }
  }

  /** Resolves when anything came of it. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#wake = resolve);
  }

  /** Resolves with the next result; answers each sync on the way. */
  async result(): Promise<ResultMessage> {
    for (;;) {
      const message = await this.next();
      if (message.kind === "result") return message;
      if (message.kind === "sync") this.write(encodeSync());
    }
  }

  write(...parts: readonly Uint8Array[]): void {
    (this.#child.stdio[3] as Writable).write(Buffer.concat(parts));
  }

  /** Gives a call and returns its ID. */
  send(name: string, args: readonly unknown[] = [], more: Partial<CallMessage> = {}): number {
    const callId = ++this.#callId;
    const call = { ...callOf(callId, name, args), ...more };
    this.write(...encodeCall(call, call.callId));
    return callId;
  }

  drop(callId: number): void {
    this.write(encodeDrop(callId));
  }

  stop(callId: number): void {
    this.write(encodeStop(callId));
  }

  /** Gives a call and resolves with the next result. */
  call(
    name: string,
    args?: readonly unknown[],
    more?: Partial<CallMessage>,
  ): Promise<ResultMessage> {
    this.send(name, args, more);
    return this.result();
  }

  /** Resolves with the value of a call; throws what the function raised. */
  async value(name: string, ...args: readonly unknown[]): Promise<unknown> {
    return valueOf(await this.call(name, args));
  }

  /** Resolves with what a call raised. */
  async thrown(name: string, ...args: readonly unknown[]): Promise<ThrownText> {
    return thrownOf(await this.call(name, args));
  }

  /** Tells it that no call will come. */
  close(): void {
    (this.#child.stdio[3] as Writable).end();
  }

  /** Takes no more of what it says. */
  closeResults(): void {
    (this.#child.stdio[4] as Readable).destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** An exception in the words of the host. */
export interface ThrownText {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
}

/** Returns the value of a result. */
export function valueOf(result: ResultMessage): unknown {
  if (result.status === "ok") return decodeValue(result.content);
  throw new Error(`${result.status}: ${Buffer.from(result.content).toString()}`);
}

/** Returns the error of a result. */
export function thrownOf(result: ResultMessage): ThrownText {
  if (result.status !== "error") throw new Error(`${result.status} is no error`);
  return JSON.parse(Buffer.from(result.content).toString()) as ThrownText;
}

/** Returns what a result says in words: its text, or what it printed. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** What changes Python in the environment of the tests is none of theirs. */
function environmentOf(slots: number): { [name: string]: string | undefined } {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("PYTHON"));
  return { ...Object.fromEntries(kept), TENDRIL_SLOTS: `${slots}` };
}

function callOf(callId: number, name: string, args: readonly unknown[]): CallMessage {
  const { bytes } = encodeArguments(args, {
    onFile: () => undefined,
    onHandle: () => undefined,
  });
  return { kind: "call", callId, function: name, arguments: bytes, directory: "", files: [] };
}
