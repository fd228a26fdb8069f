/** Runs a manager's script on one host of a test's network and workers on others. */

import { expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";

import type { ManagerStatus } from "../../mod.ts";
import { accessPath, readAccessFile } from "../../shared/access_file.ts";
import { BINARY } from "../binary/built.ts";
import type { Host } from "./namespaces.ts";
import { type Scratch, until } from "./scratch.ts";

/** The manager's. */
const NAME = "hosts";

/** What a manager's script starts with; where `tendril` is depends on who runs it. */
const PREAMBLE = `
const [unreachable, folder] = process.argv.slice(2);
const start = (policies) => Manager.start({
  name: "${NAME}", listen: ":0", advertise: unreachable, policies,
});
const check = async (handle) => {
  const result = await handle;
  if (result.outcome !== "success") throw new Error(result.outcome + ": " + result.message);
  return result.stdout;
};
const finish = async (manager, told) => {
  console.log(JSON.stringify({ ...told, status: manager.status() }));
  await manager.close();
};
`;

/** What the script says at its end, with `finish(manager, told)`. */
export type Told<T> = T & { readonly status: ManagerStatus };

/** The manager's host, and those of the workers; what is at the same index is a worker's feature. */
export interface Hosts {
  readonly manager: Host;
  readonly workers: readonly Host[];
  readonly features: readonly string[];
}

/** What runs the script: a command, and what it imports `tendril` from. */
export interface Script {
  readonly command: readonly string[];
  readonly library: string;
  readonly text: string;
  /** Goes on beside the script. */
  readonly during?: () => Promise<void>;
}

/** The workspace of the worker of that index. */
export function workspaceOf(scratch: Scratch, index: number): string {
  return scratch.path(`workspace-${index}`);
}

/** Runs the manager and its workers, each on its host, to the end of the script. */
export async function runOn<T>(
  { manager, workers, features }: Hosts,
  scratch: Scratch,
  { command, library, text, during }: Script,
): Promise<Told<T>> {
  const path = scratch.path("workflow.mjs");
  writeFileSync(path, `import { Manager } from "${library}";\n${PREAMBLE}${text}`);
  const children: { readonly child: ChildProcess; readonly ended: Promise<number | null> }[] = [];
  const start = (host: Host, args: readonly string[]) => {
    const [program = "", ...rest] = [...host.prefix, ...args];
    const child = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    const started = { child, ended };
    children.push(started);
    return started;
  };
  try {
    const { child, ended } = start(manager, [
      ...command,
      path,
      manager.addresses[0] ?? "",
      scratch.folder,
    ]);
    let said = "";
    child.stdout?.on("data", (bytes) => said += String(bytes));
    await until(() => existsSync(accessPath(NAME)), "the manager listens");
    const { urls } = await readAccessFile(accessPath(NAME));
    const [first = ""] = urls;
    expect(first.startsWith(`https://${manager.addresses[0]}:`)).toBe(true);
    expect(urls.length).toBeGreaterThanOrEqual(manager.addresses.length);
    for (const [index, host] of workers.entries()) {
      const args = ["worker", "--single", "--name", NAME, "--cores", "1"];
      args.push("--workspace", workspaceOf(scratch, index));
      start(host, [BINARY, ...args, "--feature", features[index] ?? ""]);
    }
    await during?.();
    expect(await ended).toBe(0);
    return JSON.parse(said);
  } finally {
    for (const { child } of children) child.kill("SIGKILL");
    await Promise.all(children.map(({ ended }) => ended));
  }
}
