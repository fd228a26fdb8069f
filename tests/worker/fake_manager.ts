/** A manager that speaks the protocol and decides nothing: tests tell it what to say. */

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";
import { Hono } from "hono";

import type { KeyPair } from "../../shared/certificate.ts";
import { acceptChannel, type Channel } from "../../shared/channel.ts";
import type { CacheName, SessionId, TaskId } from "../../shared/ids.ts";
import { workerMessage } from "../../shared/message_shapes.ts";
import type { DispatchedTask, ManagerMessage, WorkerMessage } from "../../shared/protocol.ts";
import { serve, type Server, upgradeSocket } from "../../shared/runtime/serve.ts";
import type { InputMount, OutputMount, TaskShape } from "../../shared/task.ts";
import { issueTicket } from "../../shared/ticket.ts";

type Kind = WorkerMessage["kind"];
type Message<K extends Kind> = Extract<WorkerMessage, { kind: K }>;

interface Wait {
  readonly isWanted: (message: WorkerMessage) => boolean;
  readonly resolve: (message: WorkerMessage) => void;
}

/** What every task of these tests asks for. */
export const SHAPE: TaskShape = {
  resources: { cores: 1, memoryBytes: 0, diskBytes: 0, gpus: 0 },
  env: {},
  environments: [],
  timeoutMs: 0,
};

/** A listening fake with an access file of its own. */
export class FakeManager implements AsyncDisposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly accessPath: string = join(this.directory, "access.json");
  /** {cache name: bytes} that `GET /files/NAME` gives and PUT leaves. */
  readonly files: Map<string, Uint8Array> = new Map();
  readonly transferKey: Uint8Array = randomBytes(32);
  readonly secret: string = randomBytes(32).toString("base64url");
  heartbeatMs = 60_000;
  /** Said to a hello instead of a welcome, while it is set. */
  refusal: string | undefined;
  /** Every message so far, of all connections. */
  readonly heard: WorkerMessage[] = [];
  readonly #server: Server;
  readonly #tls: KeyPair | undefined;
  #waits: Wait[] = [];
  #channel: Channel<ManagerMessage> | undefined;
  #closes: (() => void)[] = [];
  #connectionCount = 0;

  /** Speaks TLS with `tls`. */
  constructor(tls?: KeyPair) {
    this.#tls = tls;
    const app = new Hono();
    app.get(
      "/worker",
      upgradeSocket(() =>
        acceptChannel<WorkerMessage, ManagerMessage>({ worker: this.secret }, {
          check: workerMessage,
          handlers: {
            open: (channel) => {
              this.#channel = channel;
              this.#connectionCount += 1;
            },
            messages: (channel, messages) => {
              for (const message of messages) this.#hear(channel, message);
            },
            close: () => {
              for (const resolve of this.#closes.splice(0)) resolve();
            },
          },
        })
      ),
    );
    app.get("/files/:name", (context) => {
      const bytes = this.files.get(context.req.param("name"));
      return bytes === undefined
        ? context.notFound()
        : context.body(bytes as Uint8Array<ArrayBuffer>);
    });
    app.put("/files/:name", async (context) => {
      const bytes = new Uint8Array(await context.req.arrayBuffer());
      this.files.set(context.req.param("name"), bytes);
      return context.text("", 200);
    });
    this.#server = serve(app, { tls });
    this.writeAccess(this.secret);
  }

  get url(): string {
    return `http${
      this.#tls === undefined ? "" : "s"
    }://${this.#server.hostname}:${this.#server.port}`;
  }

  get connectionCount(): number {
    return this.#connectionCount;
  }

  /** Writes the access file with this secret, to `path` if that is given. */
  writeAccess(secret: string, path: string = this.accessPath): void {
    const access = {
      version: 1,
      name: "fake",
      managerId: "m1",
      urls: [this.url],
      ...(this.#tls === undefined ? {} : { certificate: this.#tls.certificate }),
      secrets: { worker: secret },
      pid: process.pid,
      host: hostname(),
      startedAtMs: 1,
    };
    writeFileSync(path, JSON.stringify(access), { mode: 0o600 });
  }

  send(...messages: ManagerMessage[]): void {
    this.#channel?.send(messages);
  }

  /** Breaks the connection. */
  cut(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#closes.push(resolve));
    this.#channel?.close("cut by the test");
    return closed;
  }

  /** Resolves when the open connection ends. */
  closed(): Promise<void> {
    return new Promise((resolve) => this.#closes.push(resolve));
  }

  /** The next message of that kind, or the first one already heard that nobody took. */
  next<K extends Kind>(
    kind: K,
    isWanted: (message: Message<K>) => boolean = () => true,
  ): Promise<Message<K>> {
    const matches = (message: WorkerMessage): message is Message<K> =>
      message.kind === kind && isWanted(message as Message<K>);
    const index = this.#unread.findIndex(matches);
    if (index >= 0) return Promise.resolve(this.#unread.splice(index, 1)[0] as Message<K>);
    return new Promise((resolve) => {
      const taken = resolve as (message: WorkerMessage) => void;
      this.#waits.push({ isWanted: matches, resolve: taken });
    });
  }

  /** Sends one command and waits for its result, which it acknowledges. */
  async run(
    command: string,
    options: {
      taskId?: number;
      inputs?: readonly InputMount[];
      outputs?: readonly OutputMount[];
      shape?: TaskShape;
    } = {},
  ): Promise<Message<"result">["result"]> {
    const taskId = (options.taskId ?? 1) as TaskId;
    this.dispatch(command, { ...options, taskId });
    const { result } = await this.next("result", ({ result }) => result.taskId === taskId);
    this.send({ kind: "result_ack", tries: [{ taskId, try: 1 }] });
    return result;
  }

  dispatch(
    command: string,
    { taskId = 1, inputs = [], outputs = [], shape = SHAPE }: {
      taskId?: number;
      inputs?: readonly InputMount[];
      outputs?: readonly OutputMount[];
      shape?: TaskShape;
    },
  ): void {
    const task: DispatchedTask = {
      taskId: taskId as TaskId,
      try: 1,
      shape: 0,
      priority: 0,
      body: { kind: "command", command },
      inputs,
      outputs,
    };
    this.send({ kind: "dispatch", shapes: [shape], tasks: [task] });
  }

  /** A ticket for a file of this manager, as it would make it for a worker. */
  ticket(name: string, method: "GET" | "PUT"): string {
    return issueTicket(this.transferKey, {
      source: "m1",
      destination: "w1",
      method,
      name,
      generation: 0,
      sizeBytes: -1,
      digest: "",
      expiresAtMs: Date.now() + 60_000,
    });
  }

  /** Ends the server; the directory stays until the manager is disposed of. */
  stop(): Promise<void> {
    return this.#server.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  readonly #unread: WorkerMessage[] = [];

  #hear(channel: Channel<ManagerMessage>, message: WorkerMessage): void {
    this.heard.push(message);
    if (message.kind === "hello") {
      if (this.refusal === undefined) this.#welcome(channel, message);
      else channel.close(this.refusal);
    }
    const index = this.#waits.findIndex((wait) => wait.isWanted(message));
    if (index < 0) this.#unread.push(message);
    else this.#waits.splice(index, 1)[0]?.resolve(message);
  }

  /** Everything the worker has stands; results are wanted again. */
  #welcome(channel: Channel<ManagerMessage>, hello: Message<"hello">): void {
    channel.send([
      {
        kind: "welcome",
        managerId: "m1",
        epoch: 1,
        session: `session-${this.#connectionCount}` as SessionId,
        transferKey: channel.seal(this.transferKey),
        heartbeatMs: this.heartbeatMs,
        atMs: Date.now(),
      },
      {
        kind: "reconcile",
        tries: hello.tries.map(({ taskId, try: number }) => {
          return { taskId, try: number, verdict: "keep" as const };
        }),
        results: hello.results.map((id) => ({ ...id, verdict: "resend" as const })),
        replicas: hello.replicas.map(({ name, generation }) => {
          return { name: name as CacheName, generation, verdict: "keep" as const };
        }),
        instances: hello.instances.map(({ instanceId }) => {
          return { instanceId, verdict: "keep" as const };
        }),
      },
    ]);
  }
}
