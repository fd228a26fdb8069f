/** The Python that benches run, by workers and without them. */
import process from "node:process";

import { dirname } from "@std/path";

/** The one of the system: what a package manager installs is there. */
const SYSTEM_PYTHON = "/usr/bin/python3";

/**
 * Puts the interpreter itself first in PATH, for all that is started from here on: what the name
 * stands for there may be a script that looks for one, which no figure should hold.
 *
 * @throws {Error} if there is none.
 */
export async function findPython(): Promise<void> {
  const folder = dirname(await askPython(SYSTEM_PYTHON) ?? await askPython("python3") ?? "");
  if (folder === ".") throw new Error('Cannot measure Python: there is no "python3" in PATH');
  process.env["PATH"] = `${folder}:${process.env["PATH"]}`;
}

/** Runs a Python program to its end; returns what it printed, or undefined if it failed. */
export async function runPython(...args: readonly string[]): Promise<string | undefined> {
  return await outputOf(["python3", ...args]);
}

async function askPython(command: string): Promise<string | undefined> {
  return (await outputOf([command, "-c", "import sys; print(sys.executable)"]))?.trim();
}

async function outputOf(cmd: string[]): Promise<string | undefined> {
  try {
    const child = Bun.spawn({ cmd, stdio: ["ignore", "pipe", "ignore"], env: process.env });
    const text = await new Response(child.stdout).text();
    return await child.exited === 0 ? text : undefined;
  } catch {
    // There is no such program.
    return undefined;
  }
}
