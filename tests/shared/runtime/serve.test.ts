/** serve() and connect() over real sockets, with the server on Bun and on Deno. */

import { connect as netConnect, type Socket as NetSocket } from "node:net";

import { expect, test } from "bun:test";

import { connect } from "../../../shared/runtime/connect.ts";
import { serve } from "../../../shared/runtime/serve.ts";
import type { Socket } from "../../../shared/runtime/socket.ts";

const MEBIBYTE = 1024 * 1024;

/** A server in a process of its own. */
class ServerProcess {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;
  host = "";

  constructor(command: readonly string[]) {
    const script = new URL("serve_script.ts", import.meta.url).pathname;
    this.#process = Bun.spawn([...command, script], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = readLines(this.#process.stdout);
  }

  async listening(): Promise<this> {
    this.host = `127.0.0.1:${await this.line()}`;
    return this;
  }

  /** The next line that the server prints. */
  async line(): Promise<string> {
    return (await this.#lines.next()).value;
  }

  /** Ends the server; returns what it saw. */
  async close(): Promise<Record<string, unknown>> {
    await this.#process.stdin.end();
    const line = await this.line();
    expect(await this.#process.exited).toBe(0);
    return JSON.parse(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** A connection whose frames and end can be awaited. */
class Client {
  socket!: Socket;
  readonly frames: Uint8Array[] = [];
  readonly closed: PromiseWithResolvers<{ code: number; reason: string }> = Promise.withResolvers();
  #wake: () => void = () => {};
  drains = 0;

  static async dial(url: string, headers: Record<string, string> = {}): Promise<Client> {
    const client = new Client();
    client.socket = await connect(url, {
      headers,
      handlers: {
        message: (_socket, bytes) => {
          client.frames.push(bytes);
          client.#wake();
        },
        drain: () => {
          client.drains++;
          client.#wake();
        },
        close: (_socket, code, reason) => client.closed.resolve({ code, reason }),
      },
    });
    return client;
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.#wake = resolve);
  }
}

/** A WebSocket client that upgrades and then reads nothing. */
async function dialDeaf(host: string, path: string): Promise<NetSocket> {
  const [hostname, port] = host.split(":");
  const socket = netConnect({ host: hostname!, port: Number(port) });
  socket.pause();
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  );
  return socket;
}

/** For a machine that is busy: each test starts a process. */
const TIMEOUT_MS = 30_000;

const root = new URL("../../../", import.meta.url).pathname;
const deno = Bun.which("deno") ?? `${root}node_modules/.bin/deno`;
const runtimes: [string, readonly string[]][] = [
  ["Bun", [process.execPath, "run"]],
  ["Deno", [deno, "run", "-A", "--no-check"]],
];

for (const [runtime, command] of runtimes) {
  const onRuntime = (name: string, body: () => Promise<void>): void => test(name, body, TIMEOUT_MS);
  const start = (): Promise<ServerProcess> => new ServerProcess(command).listening();

  onRuntime(`serve() answers requests and echoes frames on ${runtime}`, async () => {
    await using server = await start();
    expect(await (await fetch(`http://${server.host}/text`)).text()).toBe("hello");
    expect((await fetch(`http://${server.host}/echo`)).status).toBe(426);
    const client = await Client.dial(`ws://${server.host}/echo`);
    const sent = [new Uint8Array([1, 2]), new Uint8Array(0), new Uint8Array(8 * MEBIBYTE).fill(7)];
    for (const frame of sent) client.socket.send(frame);
    await client.until(() => client.frames.length === 3);
    expect(client.frames.map((frame) => frame.length)).toEqual(sent.map((frame) => frame.length));
    client.socket.close(4001, "enough");
    await client.closed.promise;
    expect(client.socket.send(new Uint8Array(1))).toBe("dropped");
    expect((await server.close())["echo"]).toEqual({ code: 4001, reason: "enough" });
  });

  onRuntime(`serve() tells the other side why it closes on ${runtime}`, async () => {
    await using server = await start();
    const client = await Client.dial(`ws://${server.host}/echo`);
    client.socket.send(new TextEncoder().encode("close"));
    const { code, reason } = await client.closed.promise;
    expect(code).toBe(4321);
    expect(reason).toStartWith("as asked üas asked ü");
    expect(reason).toEndWith("…");
  });

  onRuntime(`serve() closes a connection that sends text on ${runtime}`, async () => {
    await using server = await start();
    const webSocket = new WebSocket(`ws://${server.host}/echo`);
    const { promise, resolve } = Promise.withResolvers<number>();
    webSocket.onopen = () => webSocket.send("text");
    webSocket.onclose = (event) => resolve(event.code);
    expect(await promise).toBe(4003);
  });

  onRuntime(`serve() tells a fast sender to wait, and when to go on, on ${runtime}`, async () => {
    await using server = await start();
    const client = await Client.dial(`ws://${server.host}/flood`);
    await client.until(() => client.frames.length === 64);
    client.socket.close(1000, "");
    await client.closed.promise;
    const results = (await server.close())["flood"] as Record<string, number>;
    expect(results["backpressure"]).toBeGreaterThan(0);
    expect(results["dropped"]).toBeUndefined();
    expect((results["sent"] ?? 0) + results["backpressure"]!).toBe(64);
  });

  onRuntime(`serve() drops, and says so, when told nothing is read on ${runtime}`, async () => {
    await using server = await start();
    const deaf = await dialDeaf(server.host, "/rude");
    await server.line();
    const seen = (await server.close())["rude"] as Record<string, unknown>;
    deaf.destroy();
    expect(seen["last"]).toBe("dropped");
    expect(seen["backlog"]).toBeLessThanOrEqual(32 * MEBIBYTE + 1024);
    expect(seen["backlog"]).toBeGreaterThan(16 * MEBIBYTE);
  });

  onRuntime(`connect() tells a fast sender to wait, and when to go on, on ${runtime}`, async () => {
    await using server = await start();
    const client = await Client.dial(`ws://${server.host}/sink`);
    let result = client.socket.send(new Uint8Array(4 * MEBIBYTE));
    let count = 1;
    while (result === "sent") {
      result = client.socket.send(new Uint8Array(4 * MEBIBYTE));
      count++;
    }
    expect(result).toBe("backpressure");
    while (result !== "dropped") {
      result = client.socket.send(new Uint8Array(4 * MEBIBYTE));
      if (result !== "dropped") count++;
    }
    await client.until(() => client.drains > 0);
    await client.until(() => client.frames.length === count);
    client.socket.close(1000, "");
    await client.closed.promise;
  });

  onRuntime(`serve() refuses pages of another origin on ${runtime}`, async () => {
    await using server = await start();
    const url = `ws://${server.host}/echo`;
    for (const origin of ["http://evil.example", "null", `http://${server.host}.evil.example`]) {
      await expect(Client.dial(url, { origin })).rejects.toThrow("Cannot connect to");
      const headers = { origin, upgrade: "websocket", connection: "upgrade" };
      expect((await fetch(`http://${server.host}/echo`, { headers })).status).toBe(403);
    }
    const client = await Client.dial(url, { origin: `http://${server.host}` });
    client.socket.close(1000, "");
  });

  onRuntime(`serve() takes a PUT above 128 MB on ${runtime}`, async () => {
    await using server = await start();
    let left = 150;
    const body = new ReadableStream({
      pull: (controller) => {
        if (left-- > 0) controller.enqueue(new Uint8Array(MEBIBYTE));
        else controller.close();
      },
    });
    const response = await fetch(`http://${server.host}/count`, { method: "PUT", body });
    expect(await response.text()).toBe(String(150 * MEBIBYTE));
  });

  onRuntime(`close() ends open connections on ${runtime}`, async () => {
    await using server = await start();
    const client = await Client.dial(`ws://${server.host}/echo`);
    await server.close();
    const { code } = await client.closed.promise;
    expect([1000, 1001, 1005, 1006]).toContain(code);
    await expect(fetch(`http://${server.host}/text`)).rejects.toThrow();
  });
}

test("serve() throws when another server has the port", async () => {
  const app = { fetch: () => new Response("first") };
  const { port, close } = serve(app);
  expect(() => serve(app, { port })).toThrow();
  await close();
});

test("connect() rejects when nobody listens, answers, or waits for it", async () => {
  const handlers = { message: () => {}, close: () => {} };
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const url = `ws://127.0.0.1:${silent.port}/x`;
  await expect(connect(url, { handlers, timeoutMs: 20 })).rejects.toThrow("no answer within 20 ms");
  const stop = new AbortController();
  const given = connect(url, { handlers, signal: stop.signal });
  stop.abort();
  await expect(given).rejects.toThrow("given up");
  await expect(connect(url, { handlers, signal: stop.signal })).rejects.toThrow();
  silent.stop(true);
  await expect(connect(url, { handlers })).rejects.toThrow(`Cannot connect to "${url}"`);
});
