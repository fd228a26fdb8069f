/** A workflow as a user starts it, for tests that look on: the command, its workers, its records. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

import { join } from "@std/path";

import type { Answers, Question } from "../../manager/dashboard/api.ts";
import { accessPath, readAccessFile } from "../../shared/access_file.ts";
import { BINARY } from "../binary/built.ts";
import { markedEnvironment, type Scratch, until, untilGone } from "./scratch.ts";

/** `tendril run SCRIPT`, with the commands of a person beside it. */
export class LiveRun implements AsyncDisposable {
  readonly name: string;
  readonly #scratch: Scratch;
  readonly #mark: string = randomUUID();
  readonly #manager: ChildProcess;
  readonly #children: ChildProcess[] = [];
  #said = "";

  /** Starts it with the folder of `scratch` as working directory; `name` is what the script says. */
  constructor(scratch: Scratch, { name, args }: { name?: string; args: readonly string[] }) {
    this.#scratch = scratch;
    const named = name === undefined ? [] : ["--name", name];
    this.#manager = this.spawn("run", ...named, "--run-directory", "runs", ...args);
    this.name = name ?? `mnist-${this.#manager.pid}`;
    this.#manager.stdout?.on("data", (bytes) => this.#said += String(bytes));
    this.#manager.stderr?.on("data", (bytes) => this.#said += String(bytes));
  }

  /** Starts a command that goes on. */
  spawn(...args: string[]): ChildProcess {
    const child = spawn(BINARY, args, {
      cwd: this.#scratch.folder,
      env: this.#environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.push(child);
    return child;
  }

  /** What a command prints; it has to succeed. */
  tell(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(BINARY, args, {
      cwd: this.#scratch.folder,
      env: this.#environment(),
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`tendril ${args.join(" ")}: ${status} ${stderr}`);
    return stdout;
  }

  /** A link that opens the dashboard, as soon as there is one. */
  async link(): Promise<string> {
    const named = ["dashboard", "--json", "--name", this.name];
    await until(() => {
      if (this.#manager.exitCode !== null) throw new Error(`It ended: ${this.#said}`);
      return this.#said.includes("dashboard: http");
    }, "the manager tells of its dashboard");
    return JSON.parse(this.tell(...named)).url;
  }

  /** Answers as a program gets them, with the secret of those who look on. */
  async ask<Asked extends Question>(question: Asked): Promise<Answers[Asked["kind"]]> {
    const { secrets } = await readAccessFile(accessPath(this.name));
    const { origin } = new URL(await this.link());
    const response = await fetch(`${origin}/api/ask`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${secrets.viewer}`,
      },
      body: JSON.stringify(question),
    });
    if (!response.ok) throw new Error(`${question.kind}: ${response.status}`);
    return await response.json();
  }

  /** The database as others read it, while it is written. */
  openDatabase(...names: string[]): DatabaseSync {
    const folder = names.length > 0 ? join(...names) : "runs/latest";
    return new DatabaseSync(this.#scratch.path(folder, "monitoring.db"), { readOnly: true });
  }

  /** Waits until the script has ended well. */
  async ended(): Promise<void> {
    if (this.#manager.exitCode === null) await once(this.#manager, "exit");
    if (this.#manager.exitCode !== 0) throw new Error(`It failed: ${this.#said}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await untilGone(this.#mark);
  }

  #environment(): Record<string, string | undefined> {
    return {
      ...process.env,
      // It is what the test is about.
      TENDRIL_NO_DASHBOARD: undefined,
      ...markedEnvironment(this.#mark),
      TMPDIR: this.#scratch.folder,
      TENDRIL_RUN_DIRECTORY: "",
    };
  }
}
