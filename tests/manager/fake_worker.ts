/** A worker that speaks the wire over a real socket and does what a test tells it. */

import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import { type Channel, type ChannelEnd, dialChannel } from "../../shared/channel.ts";
import type { CacheName, TaskId, WorkerId } from "../../shared/ids.ts";
import { managerMessage } from "../../shared/message_shapes.ts";
import {
  type DispatchedTask,
  type LibraryDefinition,
  type ManagerMessage,
  PROTOCOL_VERSION,
  type WorkerMessage,
} from "../../shared/protocol.ts";
import { connect } from "../../shared/runtime/connect.ts";
import type { OutputFacts, TryResult } from "../../shared/task.ts";

/** What a test may say of the worker. */
export interface FakeWorkerOptions {
  readonly workerId?: string;
  readonly cores?: number;
  readonly protocol?: number;
  readonly pid?: number;
  /** Of those in the access file; default the first. */
  readonly url?: string;
  readonly incarnation?: string;
  readonly features?: readonly string[];
  /** Says no hello by itself. */
  readonly isSilent?: boolean;
}

type OfKind<K extends ManagerMessage["kind"]> = Extract<ManagerMessage, { kind: K }>;

/** One connection of a worker. */
export class FakeWorker {
  readonly workerId: WorkerId;
  readonly access: AccessFile;
  /** How the connection ended. */
  readonly ended: Promise<ChannelEnd>;
  #channel: Channel<WorkerMessage> | undefined;
  readonly #received: ManagerMessage[] = [];
  readonly #waiting: Set<() => void> = new Set();

  readonly #options: FakeWorkerOptions;

  private constructor(
    access: AccessFile,
    options: FakeWorkerOptions,
    ended: Promise<ChannelEnd>,
  ) {
    this.access = access;
    this.#options = options;
    this.workerId = options.workerId as WorkerId;
    this.ended = ended;
  }

  /** Dials the manager of that name and says hello; resolves when the handshake is done. */
  static async join(name: string, options: FakeWorkerOptions = {}): Promise<FakeWorker> {
    const { workerId = "worker-a" } = options;
    const access = await readAccessFile(accessPath(name));
    const end = Promise.withResolvers<ChannelEnd>();
    const opened = Promise.withResolvers<void>();
    const worker = new FakeWorker(access, { ...options, workerId }, end.promise);
    const handlers = dialChannel<ManagerMessage, WorkerMessage>(
      { role: "worker", secret: access.secrets.worker ?? "" },
      {
        check: managerMessage,
        refused: end.resolve,
        handlers: {
          open: (channel) => {
            worker.#channel = channel;
            opened.resolve();
          },
          messages: (channel, messages) => worker.#hear(messages.map((m) => unsealed(channel, m))),
          close: (_channel, how) => end.resolve(how),
        },
      },
    );
    const { url = access.urls[0] ?? "" } = options;
    const certificate = url.startsWith("https:") ? access.certificate : undefined;
    await connect(`${url.replace("http", "ws")}/worker`, { handlers, certificate });
    await opened.promise;
    if (!options.isSilent) worker.greet();
    return worker;
  }

  /** Says hello, with what the test says of it. */
  greet(more: Partial<Extract<WorkerMessage, { kind: "hello" }>> = {}): void {
    const { cores = 2, protocol = PROTOCOL_VERSION, pid = 1 } = this.#options;
    const { features = [], incarnation = "first" } = this.#options;
    this.send({
      kind: "hello",
      protocol,
      version: "0.1.0",
      workerId: this.workerId,
      incarnation,
      host: "localhost",
      pid,
      resources: { cores, memoryBytes: 1e9, diskBytes: 1e9, gpus: 0 },
      features,
      urls: [`http://${this.workerId}:1`],
      tries: [],
      results: [],
      replicas: [],
      instances: [],
      ...more,
    });
  }

  /** Sends messages. */
  send(...messages: readonly WorkerMessage[]): void {
    this.#channel?.send(messages);
  }

  /** Hangs up. */
  close(): void {
    this.#channel?.close("The test is over");
  }

  /** The next message of that kind that nobody took yet. */
  async next<K extends ManagerMessage["kind"]>(kind: K): Promise<OfKind<K>> {
    while (true) {
      const index = this.#received.findIndex((message) => message.kind === kind);
      const [message] = index < 0 ? [] : this.#received.splice(index, 1);
      if (message !== undefined) return message as OfKind<K>;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await promise;
    }
  }

  /** Has the files that an instance needs, so many, and starts it; what it fetched and served. */
  async startInstance(fileCount: number): Promise<{
    readonly fetched: readonly OfKind<"fetch">[];
    readonly library: LibraryDefinition;
  }> {
    const fetched: OfKind<"fetch">[] = [];
    while (fetched.length < fileCount) {
      const fetch = await this.next("fetch");
      fetched.push(fetch);
      const { name, isDirectory, sizeBytes, digest, transferId } = fetch;
      const file = { name, generation: 0, isDirectory, sizeBytes, digest };
      this.send({ kind: "replica_ready", transferId, file, movedBytes: 0 });
    }
    const { instanceId, library } = await this.next("start_instance");
    this.send({ kind: "instance_ready", instanceId });
    return { fetched, library };
  }

  /** The next `count` dispatched tasks. */
  async nextTasks(count: number): Promise<readonly DispatchedTask[]> {
    const tasks: DispatchedTask[] = [];
    while (tasks.length < count) tasks.push(...(await this.next("dispatch")).tasks);
    return tasks;
  }

  /** Ends a task well, with what the test says beside. */
  finish(task: { taskId: TaskId; try: number }, facts: Partial<TryResult> = {}): void {
    const result: TryResult = {
      taskId: task.taskId,
      try: task.try,
      outcome: "success",
      message: "",
      exitCode: 0,
      stdout: new Uint8Array(),
      stderr: new Uint8Array(),
      outputs: [],
      times: { startedAtMs: Date.now(), stagedMs: 1, ranMs: 1 },
      ...facts,
    };
    this.send({ kind: "result", result });
  }

  #hear(messages: readonly ManagerMessage[]): void {
    this.#received.push(...messages);
    if (messages.some(({ kind }) => kind === "release")) this.close();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

/** The message with its key, if it has one, as its sender knows it. */
function unsealed(channel: Channel<WorkerMessage>, message: ManagerMessage): ManagerMessage {
  if (message.kind !== "welcome") return message;
  const transferKey = channel.unseal(message.transferKey);
  if (transferKey === undefined) throw new Error("Cannot unseal the key of the welcome");
  return { ...message, transferKey };
}

/** An output of a task, as its worker tells it. */
export function outputOf(
  task: DispatchedTask,
  facts: { readonly sizeBytes: number; readonly digest: string; readonly content?: Uint8Array },
): OutputFacts {
  const [output] = task.outputs;
  const name = output?.name ?? "" as CacheName;
  return { name, generation: output?.generation ?? 0, isDirectory: false, ...facts };
}
