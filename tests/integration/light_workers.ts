/**
 * Many workers in one process, which join and stay: `bun light_workers.ts NAME FIRST COUNT`. Their
 * connections are real ones, dialled as a worker dials; they run nothing.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import process from "node:process";

import type { SessionId, WorkerId } from "../../shared/ids.ts";
import type { ManagerMessage, WorkerMessage } from "../../shared/protocol.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import { ManagerFinder } from "../../worker/manager_finder.ts";
import { ManagerLink } from "../../worker/manager_link.ts";

/** Longer than any test. */
const GONE_MS_MAX = 10 * 60_000;

const [name = "", first = "0", count = "1"] = process.argv.slice(2);
const finder = await ManagerFinder.open({ name });
for (let index = 0; index < Number(count); index++) join(`light-${Number(first) + index}`);

function join(workerId: string): void {
  const incarnation = randomUUID();
  let session: SessionId | undefined;
  const link: ManagerLink = new ManagerLink({
    manager: finder.manager,
    access: () => finder.read(),
    watch: (changed) => finder.watch(changed),
    prepare: () => Promise.resolve(),
    goneMsMax: GONE_MS_MAX,
    waiting: () => {},
    opened: () => link.send([hello(workerId as WorkerId, incarnation, session)]),
    received: (messages) => {
      for (const message of messages) session = take(link, message) ?? session;
    },
    closed: () => {},
    ended: ({ message }) => process.stdout.write(`${workerId} ended: ${message}\n`),
    takeRefused: () => 0,
  });
}

/** The session that a welcome opens. */
function take(link: ManagerLink, message: ManagerMessage): SessionId | undefined {
  if (message.kind === "release") link.release(message.reason);
  if (message.kind !== "welcome") return undefined;
  link.keepAlive(message.heartbeatMs);
  return message.session;
}

function hello(
  workerId: WorkerId,
  incarnation: string,
  session: SessionId | undefined,
): WorkerMessage {
  return {
    kind: "hello",
    protocol: PROTOCOL_VERSION,
    version: "0.1.0",
    workerId,
    incarnation,
    ...(session === undefined ? {} : { session }),
    host: "light",
    pid: process.pid,
    resources: { cores: 1, memoryBytes: 1e9, diskBytes: 1e9, gpus: 0 },
    features: [],
    urls: [],
    tries: [],
    results: [],
    replicas: [],
    instances: [],
  };
}
