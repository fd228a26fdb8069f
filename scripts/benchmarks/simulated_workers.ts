/**
 * Many workers in one process that run nothing: they say at once, or some time later, that all went
 * well. `bun simulated_workers.ts ACCESS_FILE COUNT RAN_MS`; ends with its standard input.
 */
import { readFileSync } from "node:fs";
import process from "node:process";

import type { AccessFile } from "../../shared/access_file.ts";
import { type Channel, dialChannel } from "../../shared/channel.ts";
import type { WorkerId } from "../../shared/ids.ts";
import { managerMessage } from "../../shared/message_shapes.ts";
import {
  type ManagerMessage,
  PROTOCOL_VERSION,
  type WorkerMessage,
} from "../../shared/protocol.ts";
import { connect } from "../../shared/runtime/connect.ts";
import type { TryResult } from "../../shared/task.ts";

/** Far more often than a manager takes for silence. */
const HEARTBEAT_MS = 5_000;

/** What one has: so many tasks that state one core run at a time. */
const CORES = 4;

const NOTHING = new Uint8Array();

if (import.meta.main) {
  const [path = "", count = "0", ranMs = "0"] = process.argv.slice(2);
  const access: AccessFile = JSON.parse(readFileSync(path, "utf8"));
  for (let index = 0; index < Number(count); index++) await join(access, index, Number(ranMs));
  process.stdout.write("joined\n");
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

async function join(access: AccessFile, index: number, ranMs: number): Promise<void> {
  const [url = ""] = access.urls;
  const handlers = dialChannel<ManagerMessage, WorkerMessage>(
    { role: "worker", secret: access.secrets.worker ?? "" },
    {
      check: managerMessage,
      refused: (end) => fail(JSON.stringify(end)),
      handlers: {
        open: (channel) => {
          channel.send([helloOf(index)]);
          setInterval(() => channel.send([{ kind: "heartbeat" }]), HEARTBEAT_MS);
        },
        messages: (channel, messages) => answer(channel, messages, ranMs),
        close: () => {},
      },
    },
  );
  await connect(`${url.replace("http", "ws")}/worker`, { handlers, certificate: undefined });
}

function helloOf(index: number): WorkerMessage {
  return {
    kind: "hello",
    protocol: PROTOCOL_VERSION,
    version: "0.1.0",
    workerId: `worker-${index}` as WorkerId,
    incarnation: "first",
    host: `node${Math.floor(index / 4)}`,
    pid: index + 1,
    resources: { cores: CORES, memoryBytes: 16e9, diskBytes: 100e9, gpus: 0 },
    features: [],
    urls: [`http://127.0.0.1:${index % 60_000 + 1}`],
    tries: [],
    results: [],
    replicas: [],
    instances: [],
  };
}

function answer(
  channel: Channel<WorkerMessage>,
  messages: readonly ManagerMessage[],
  ranMs: number,
): void {
  const results: TryResult[] = [];
  for (const message of messages) {
    if (message.kind === "release") return void channel.close("The run is over");
    if (message.kind !== "dispatch") continue;
    for (const { taskId, try: number } of message.tasks) {
      results.push({
        taskId,
        try: number,
        outcome: "success",
        message: "",
        exitCode: 0,
        stdout: NOTHING,
        stderr: NOTHING,
        outputs: [],
        times: { startedAtMs: Date.now(), stagedMs: 1, ranMs },
        used: { cores: 0.5, memoryBytes: 2e7, diskBytes: 4096, processCount: 1, cpuMs: ranMs / 2 },
      });
    }
  }
  if (results.length === 0) return;
  if (ranMs === 0) return void channel.send([{ kind: "results", results }]);
  const tries = results.map(({ taskId, try: number }) => ({ taskId, try: number }));
  channel.send([{ kind: "tries_started", tries }]);
  setTimeout(() => channel.send([{ kind: "results", results }]), ranMs);
}

function fail(how: string): void {
  process.stderr.write(`error: A worker was refused: ${how}\n`);
  process.exit(1);
}
