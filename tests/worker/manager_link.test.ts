import { expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";

import { Hono } from "hono";

import { newCertificate } from "../../shared/certificate.ts";
import { decodeFrame, encodeFrame, FRAME_LIMITS } from "../../shared/codec.ts";
import { newServerHandshake } from "../../shared/handshake.ts";
import { PROTOCOL_VERSION, type WorkerMessage } from "../../shared/protocol.ts";
import { serve, upgradeSocket } from "../../shared/runtime/serve.ts";
import type { ManagerAccess } from "../../worker/manager_finder.ts";
import { type LinkEnd, ManagerLink } from "../../worker/manager_link.ts";
import { FakeManager } from "./fake_manager.ts";

type Hello = Extract<WorkerMessage, { kind: "hello" }>;

const HELLO: Hello = {
  kind: "hello",
  protocol: PROTOCOL_VERSION,
  version: "0",
  workerId: "w" as never,
  incarnation: "1",
  host: "h",
  pid: 1,
  resources: { cores: 1, memoryBytes: 0, diskBytes: 0, gpus: 0 },
  features: [],
  urls: [],
  tries: [],
  results: [],
  replicas: [],
  instances: [],
};

/** A link that says hello by itself, to whatever `access` says. */
class Bench implements Disposable {
  access: ManagerAccess | Error;
  changed: () => void = () => {};
  refused = 0;
  readonly waits: string[] = [];
  readonly prepared: ManagerAccess[] = [];
  readonly ended: Promise<LinkEnd>;
  readonly link: ManagerLink;
  readonly #welcomed = Promise.withResolvers<void>();
  #waiting: (() => void) | undefined;

  constructor(access: ManagerAccess | Error, goneMsMax: number = 60_000) {
    this.access = access;
    const { promise, resolve } = Promise.withResolvers<LinkEnd>();
    this.ended = promise;
    this.link = new ManagerLink({
      manager: 'manager "demo"',
      access: () =>
        this.access instanceof Error ? Promise.reject(this.access) : Promise.resolve(this.access),
      watch: (changed) => {
        this.changed = changed;
        return { [Symbol.dispose]: () => {} };
      },
      prepare: (access) => {
        this.prepared.push(access);
        return Promise.resolve();
      },
      goneMsMax,
      waiting: (reason) => {
        this.waits.push(reason);
        this.#waiting?.();
      },
      opened: () => this.link.send([HELLO]),
      received: (messages) => {
        for (const message of messages) {
          if (message.kind !== "welcome") continue;
          this.link.keepAlive(message.heartbeatMs);
          this.#welcomed.resolve();
        }
      },
      closed: () => {},
      ended: resolve,
      takeRefused: () => {
        const { refused } = this;
        this.refused = 0;
        return refused;
      },
    });
  }

  /** Resolves when a manager has taken its hello. */
  get welcomed(): Promise<void> {
    return this.#welcomed.promise;
  }

  /** Resolves when it has said that it waits. */
  waiting(): Promise<void> {
    if (this.waits.length > 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting = resolve);
  }

  [Symbol.dispose](): void {
    this.link.close("the test is over");
  }
}

/** Takes connections and says nothing, or hangs up at once. */
class DumbServer implements AsyncDisposable {
  count = 0;
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  #next: (() => void) | undefined;

  private constructor(hangsUp: boolean) {
    this.#server = createServer((socket) => {
      this.count += 1;
      this.#sockets.push(socket);
      socket.on("error", () => {});
      if (hangsUp) socket.destroy();
      this.#next?.();
    });
  }

  static async open({ hangsUp }: { hangsUp: boolean }): Promise<DumbServer> {
    const dumb = new DumbServer(hangsUp);
    const { promise, resolve } = Promise.withResolvers<void>();
    dumb.#server.listen(0, "127.0.0.1", resolve);
    await promise;
    return dumb;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  connected(): Promise<void> {
    if (this.count > 0) return Promise.resolve();
    return new Promise((resolve) => this.#next = resolve);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await promise;
  }
}

function accessOf(manager: FakeManager, more: Partial<ManagerAccess> = {}): ManagerAccess {
  const urls = [manager.url];
  return { urls, publishedUrls: urls, secret: manager.secret, identity: "m1 1", ...more };
}

test("ManagerLink dials addresses in turn, and the one that last worked first", async () => {
  await using manager = new FakeManager();
  await using dumb = await DumbServer.open({ hangsUp: true });
  using bench = new Bench(accessOf(manager, { urls: [dumb.url, manager.url] }));
  await manager.next("hello");
  expect(bench.link.managerUrl).toBe(manager.url);
  expect(dumb.count).toBe(1);
  await manager.cut();
  await manager.next("hello");
  expect(dumb.count).toBe(1);
});

test("ManagerLink passes over an address that does not answer", async () => {
  await using manager = new FakeManager();
  await using dumb = await DumbServer.open({ hangsUp: false });
  using _bench = new Bench(accessOf(manager, { urls: [dumb.url, manager.url] }));
  await manager.next("hello");
  expect(dumb.count).toBe(1);
}, 60_000);

test("ManagerLink leaves a silent address when the access file changes meanwhile", async () => {
  await using manager = new FakeManager();
  await using dumb = await DumbServer.open({ hangsUp: false });
  const urls = Array.from({ length: 10 }, () => dumb.url);
  using bench = new Bench(accessOf(manager, { urls }));
  await dumb.connected();
  bench.access = accessOf(manager, { identity: "m1 2" });
  bench.changed();
  await manager.next("hello");
  // The addresses that were left are 9: each would have taken seconds.
  expect(dumb.count).toBe(1);
}, 60_000);

test("ManagerLink waits for a manager that is not there yet and says so once", async () => {
  await using manager = new FakeManager();
  using bench = new Bench(new Error("no access file yet"));
  await bench.waiting();
  bench.access = accessOf(manager);
  bench.changed();
  await manager.next("hello");
  expect(bench.waits).toEqual(["no access file yet"]);
  expect(bench.prepared).toEqual([accessOf(manager)]);
});

test("ManagerLink says why a manager takes no hello, and goes on dialling", async () => {
  await using manager = new FakeManager();
  manager.refusal = "Cannot take 0 cores";
  using bench = new Bench(accessOf(manager));
  await bench.waiting();
  manager.refusal = undefined;
  await bench.welcomed;
  expect(bench.waits).toEqual(["it answers, and takes no hello: Cannot take 0 cores"]);
});

test("ManagerLink ends unmet when no manager came in time, and says where it looked", async () => {
  await using dumb = await DumbServer.open({ hangsUp: true });
  await using manager = new FakeManager();
  using bench = new Bench(accessOf(manager, { urls: [dumb.url] }), 200);
  const { kind, message } = await bench.ended;
  expect(kind).toBe("unmet");
  expect(message).toMatch(
    /^Cannot join manager "demo": waited \d+ s for it: nobody answers for it/,
  );
  expect(message).toContain(dumb.url);
});

test("ManagerLink ends gone when its manager does not come back in time", async () => {
  await using manager = new FakeManager();
  using bench = new Bench(accessOf(manager), 200);
  await bench.welcomed;
  await manager.stop();
  bench.access = new Error("no access file any more");
  expect(await bench.ended).toMatchObject({
    kind: "gone",
    message: expect.stringMatching(/^No manager for \d+ s: no access file any more$/),
  });
});

test("ManagerLink ends at once when it is refused, whatever the other addresses do", async () => {
  await using manager = new FakeManager();
  await using dumb = await DumbServer.open({ hangsUp: true });
  const urls = [dumb.url, manager.url];
  using bench = new Bench(accessOf(manager, { urls, secret: "x".repeat(43) }));
  const { kind, message } = await bench.ended;
  expect(kind).toBe("refused");
  expect(message).toBe(
    'Cannot join manager "demo": it refuses: The manager does not know our worker secret',
  );
});

test("ManagerLink names both protocols when they differ", async () => {
  const app = new Hono();
  const secret = "s".repeat(43);
  app.get(
    "/worker",
    upgradeSocket(() => {
      const handshake = newServerHandshake({ worker: secret }, 99);
      return {
        message: (socket, bytes) => {
          for (const message of decodeFrame(bytes, FRAME_LIMITS)) {
            const frames = encodeFrame(handshake.receive(message).send, { compress: false });
            for (const frame of frames) socket.send(frame);
          }
        },
        close: () => {},
      };
    }),
  );
  const server = serve(app);
  const urls = [`http://127.0.0.1:${server.port}`];
  using bench = new Bench({ urls, publishedUrls: urls, secret, identity: "m 1" });
  expect((await bench.ended).message).toContain(
    `it refuses: Cannot speak protocol ${PROTOCOL_VERSION} with a manager of protocol 99`,
  );
  await server.close();
});

test("ManagerLink goes on when a stranger answers in the place of a manager that ended", async () => {
  await using stranger = new FakeManager();
  await using manager = new FakeManager();
  using bench = new Bench(
    accessOf(manager, { urls: [stranger.url], ended: "its process 7 on h has ended" }),
  );
  await bench.waiting();
  expect(bench.waits[0]).toStartWith("its process 7 on h has ended, and nobody answers for it");
  bench.access = accessOf(manager, { identity: "m1 2" });
  bench.changed();
  await manager.next("hello");
});

test("ManagerLink takes a manager by its certificate alone", async () => {
  await using manager = new FakeManager(await newCertificate([]));
  const { certificate } = await newCertificate([]);
  using bench = new Bench(accessOf(manager, { certificate }));
  await bench.waiting();
  expect(bench.waits[0]).toContain("nobody answers for it");
  const right = JSON.parse(await Bun.file(manager.accessPath).text()).certificate;
  bench.access = accessOf(manager, { certificate: right });
  bench.changed();
  await manager.next("hello");
  expect(bench.link.managerCertificate).toBe(right);
});

test("ManagerLink dials no more the manager that released it, until it starts again", async () => {
  await using manager = new FakeManager();
  using bench = new Bench(accessOf(manager));
  await manager.next("hello");
  await bench.welcomed;
  const closed = manager.closed();
  bench.link.release("done");
  await closed;
  await bench.waiting();
  expect(bench.waits).toEqual(["it has let this worker go (done), and no other has its name"]);
  expect(manager.connectionCount).toBe(1);
  bench.access = accessOf(manager, { identity: "m1 2" });
  bench.changed();
  await manager.next("hello");
}, 60_000);

test("ManagerLink tells with a heartbeat what was refused", async () => {
  await using manager = new FakeManager();
  manager.heartbeatMs = 40;
  using bench = new Bench(accessOf(manager));
  await manager.next("hello");
  bench.refused = 3;
  expect(await manager.next("heartbeat", ({ refused }) => refused !== undefined))
    .toEqual({ kind: "heartbeat", refused: 3 });
});
