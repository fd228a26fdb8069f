/** A real worker process of a fake manager. */

import { type ChildProcess, spawn } from "node:child_process";

import { join } from "@std/path";

import { selfCommand } from "../../shared/runtime/self_command.ts";
import type { FakeManager } from "./fake_manager.ts";

/** A worker with two cores; killed when the scope ends, if it still runs. */
export class WorkerProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  stderr = "";

  constructor(manager: FakeManager, ...more: readonly string[]) {
    const [program = "", ...args] = selfCommand([
      "worker",
      "--access",
      manager.accessPath,
      "--workspace",
      join(manager.directory, "workspace"),
      "--cores",
      "2",
      ...more,
    ]);
    this.child = spawn(program, args, { stdio: ["ignore", "inherit", "pipe"] });
    this.child.stderr?.on("data", (chunk) => this.stderr += chunk);
    this.ended = new Promise((resolve) => {
      this.child.once("close", (code, signal) => resolve({ code, signal }));
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.kill("SIGKILL");
    await this.ended;
  }
}
