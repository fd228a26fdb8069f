/** What the scripts of these tests have beside the library. They run it in the binary. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";

import type { LocalWorkersOptions, Manager } from "../../../mod.ts";
import { until } from "../../until.ts";

export { until };

/** The worker of most of TaskVine's tests: `--cores 1 --memory 250 --disk 250`. */
export const ONE_WORKER: LocalWorkersOptions = { cores: 1, memory: "250MB", disk: "250MB" };

/** A server of a script. */
export interface DataServer extends AsyncDisposable {
  readonly url: string;
  /** What it was asked, as `GET /data`. */
  readonly heard: readonly string[];
}

/** How a worker is started. */
export interface WorkerOptions {
  /** Added to its arguments. */
  readonly args?: readonly string[];
  /** Its `TENDRIL_HOME`, where that is not the manager's. */
  readonly home?: string;
  /** The name of its host: it is given one of its own by `unshare`, which asks for rights. */
  readonly host?: string;
}

const workers: ChildProcess[] = [];

/** Starts `tendril worker` for `manager`, with which it ends; waits until it has joined. */
export async function startWorker(
  manager: Manager,
  options: WorkerOptions = {},
): Promise<ChildProcess> {
  let joined = false;
  const stop = manager.subscribe((facts) => {
    joined ||= facts.some(({ kind }) => kind === "worker_joined");
  });
  const worker = spawnWorker(manager.name, options);
  await until(() => joined, "the worker joins");
  stop();
  return worker;
}

/** Starts `tendril worker` for the manager of that name, with one core unless `args` say more. */
export function spawnWorker(
  name: string,
  { args = [], home, host }: WorkerOptions = {},
): ChildProcess {
  const workspace = `${process.cwd()}/workspaces/${workers.length + 1}`;
  const all = ["worker", "--name", name, "--single", "--cores", "1", "--workspace", workspace];
  const command = [...host === undefined ? [] : onHost(host), process.execPath, ...all, ...args];
  const [program = "", ...rest] = command;
  const worker = spawn(program, rest, {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, ...(home === undefined ? {} : { TENDRIL_HOME: home }) },
  });
  workers.push(worker);
  return worker;
}

/** What a command is put behind to run on a host of that name, which is this machine. */
function onHost(host: string): string[] {
  const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  return ["unshare", ...asRoot, "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host];
}

/** Waits until all workers of `startWorker` have ended. */
export async function workersEnded(): Promise<void> {
  const isOver = (worker: ChildProcess) => worker.exitCode !== null || worker.signalCode !== null;
  await until(() => workers.every(isOver), "the workers have ended");
}

/** A server on loopback that answers every `GET` with `body`, or 404 where that is undefined. */
export async function startServer(body: string | undefined): Promise<DataServer> {
  const heard: string[] = [];
  const server = createServer(({ method = "", url = "" }, response) => {
    heard.push(`${method} ${url}`);
    response.writeHead(body === undefined ? 404 : 200, { ETag: '"1"' });
    response.end(method === "HEAD" ? "" : body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/data`,
    heard,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
