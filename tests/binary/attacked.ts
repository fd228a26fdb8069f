/** Managers of the compiled binary for attacks.test.ts, and ways of being rude to them. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import type { RefusalCounts } from "../../manager/refusal.ts";
import type { ManagerStatus } from "../../manager/status.ts";
import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import { connect } from "../../shared/runtime/connect.ts";
import { until } from "../integration/scratch.ts";
import { FakeClient } from "../manager/fake_client.ts";
import { FakeWorker, outputOf } from "../manager/fake_worker.ts";
import type { RawEnd } from "../raw_link.ts";
import { BINARY } from "./built.ts";

/** Two managers; one has a task for a worker with the feature `insider`. */
const SCRIPT = `import { Manager } from "tendril";
const manager = await Manager.start({ name: "attacked" });
const other = await Manager.start({ name: "other" });
const output = manager.buffer();
manager.submit({
  command: "true",
  inputs: { in: manager.buffer(new Uint8Array(300_000).fill(7)) },
  outputs: { out: output },
  features: ["insider"],
});
// The managers are closed when the script comes to its end.
await new Promise(() => setInterval(() => {}, 1000));
`;

/** Contents that the insider says it has made. */
export const OUTPUT: Uint8Array<ArrayBuffer> = new Uint8Array(300_000).fill(3);

/** So that the insider is not lost. */
const HEARTBEAT_MS = 5000;

/** Leaves that an honest worker was given. */
export interface Tickets {
  readonly get: string;
  readonly getName: string;
  readonly put: string;
  readonly putName: string;
}

/** The process with the managers. */
export class Attacked {
  readonly #child: ChildProcess;
  #client: FakeClient | undefined;
  #heart: ReturnType<typeof setInterval> | undefined;
  readonly access: AccessFile;
  readonly otherUrl: string;

  private constructor(child: ChildProcess, access: AccessFile, otherUrl: string) {
    this.#child = child;
    this.access = access;
    this.otherUrl = otherUrl;
  }

  /** Starts it in `folder`; `TENDRIL_HOME` says where its access files are. */
  static async start(folder: string): Promise<Attacked> {
    const script = join(folder, "attacked.ts");
    writeFileSync(script, SCRIPT);
    // Its dashboard is attacked as well.
    const { TENDRIL_NO_DASHBOARD: _switch, ...env } = process.env;
    const child = spawn(BINARY, ["run", script], { cwd: folder, stdio: "ignore", env });
    const read = (name: string) => readAccessFile(accessPath(name)).catch(() => undefined);
    await until(async () => await read("other") !== undefined, "the managers run");
    const [access, other] = await Promise.all([read("attacked"), read("other")]);
    if (access === undefined || other === undefined) throw new Error("Cannot find the managers");
    return new Attacked(child, access, other.urls[0] ?? "");
  }

  get url(): string {
    return this.access.urls[0] ?? "";
  }

  /** Bytes of memory that the process has. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024;
  }

  async status(): Promise<ManagerStatus> {
    this.#client ??= await FakeClient.join("attacked");
    return (await this.#client.expect("status", { kind: "status" })).status;
  }

  async refused(): Promise<RefusalCounts> {
    return (await this.status()).refused;
  }

  /** A worker comes and is welcome. */
  async expectServing(): Promise<void> {
    const worker = await FakeWorker.join("attacked", {
      workerId: `w-${randomBytes(6).toString("hex")}`,
    });
    await worker.next("welcome");
    worker.close();
    await worker.ended;
  }

  /** Joins as the worker that the task is for, and takes what it is given. */
  async takeTickets(): Promise<Tickets> {
    const insider = await FakeWorker.join("attacked", {
      workerId: "insider",
      features: ["insider"],
    });
    this.#heart = setInterval(() => insider.send({ kind: "heartbeat" }), HEARTBEAT_MS);
    const fetched = await insider.next("fetch");
    const [task] = await insider.nextTasks(1);
    if (task === undefined || fetched.source.kind !== "manager") throw new Error("No ticket came");
    const digest = new Bun.CryptoHasher("sha256").update(OUTPUT).digest("hex");
    const facts = { sizeBytes: OUTPUT.length, digest };
    insider.finish(task, { outputs: [outputOf(task, facts)] });
    const { to, name } = await insider.next("send");
    if (to.kind !== "manager") throw new Error(`"${name}" must go to the manager`);
    const { ticket } = to;
    return { get: fetched.source.ticket, getName: fetched.name, put: ticket, putName: name };
  }

  close(folder: string): void {
    clearInterval(this.#heart);
    this.#client?.close();
    this.#child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Opens a WebSocket, sends `first`, then what `next` makes of each frame; resolves at its end. */
export async function converse(
  url: string,
  first: Uint8Array | undefined,
  next: (frame: Uint8Array) => Uint8Array | undefined = () => undefined,
): Promise<RawEnd & { readonly frames: readonly Uint8Array[] }> {
  const frames: Uint8Array[] = [];
  const { promise, resolve } = Promise.withResolvers<RawEnd>();
  await connect(url.replace("http", "ws"), {
    handlers: {
      open: (socket) => first && socket.send(first),
      message: (socket, bytes) => {
        frames.push(bytes.slice());
        const answer = next(bytes);
        if (answer !== undefined) socket.send(answer);
      },
      close: (_socket, code, reason) => resolve({ code, reason }),
    },
  });
  return { ...await promise, frames };
}
