/** What serve() does with those who send too much, too slowly or nothing, on Bun and on Deno. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";

import { connect } from "../../../shared/runtime/connect.ts";
import {
  HEADER_BYTES_MAX,
  HEADERS_MAX,
  TARGET_CHARS_MAX,
} from "../../../shared/runtime/request_limits.ts";
import { until } from "../../integration/scratch.ts";
import { head, open, speak } from "../../raw_http.ts";

const RUNTIMES = {
  Bun: ["bun"],
  Deno: ["deno", "run", "--allow-all", "--quiet"],
} as const;

/** What the system itself takes of a body that nobody reads, for both ends of a connection. */
const SYSTEM_BYTES_MAX: number = 32 * 1024 * 1024;

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
} as const;

const PIECE = new Uint8Array(65536).fill(120);

/** A server in a process of its own. */
class LimitedServer implements AsyncDisposable {
  readonly #process: Bun.Subprocess<"ignore", "pipe", "inherit">;
  url = "";
  said = "";

  private constructor(command: readonly string[]) {
    const script = new URL("limits_script.ts", import.meta.url).pathname;
    this.#process = Bun.spawn([...command, script], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
  }

  static async start(command: readonly string[]): Promise<LimitedServer> {
    const server = new LimitedServer(command);
    void server.#listen();
    await until(() => server.said.includes("\n"), "the server listens");
    server.url = `http://127.0.0.1:${server.said.split("\n")[0]}`;
    return server;
  }

  async isServing(): Promise<boolean> {
    return await (await fetch(`${this.url}/text`)).text() === "hello";
  }

  /** Connections that neither end has closed. */
  connectionCount(): number {
    const port = Number(new URL(this.url).port).toString(16).toUpperCase().padStart(4, "0");
    const table = readFileSync("/proc/net/tcp", "utf8").split("\n");
    // Its own ends, in state ESTABLISHED: proc(5).
    return table.filter((row) => /^\s*\d+: \w+:(\w+) \S+ 01 /.exec(row)?.[1] === port).length;
  }

  residentBytes(): Promise<number> {
    return Bun.file(`/proc/${this.#process.pid}/status`).text().then((status) => {
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024;
    });
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stdout) this.said += decoder.decode(chunk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

/** Sends one byte of `text` after the other until the connection ends. */
async function drip(url: string, text: string): Promise<void> {
  const socket = open(url);
  const { promise, resolve } = Promise.withResolvers<void>();
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++ % text.length] ?? "x"), 200);
  socket.on("error", () => {});
  socket.on("data", () => {});
  socket.on("close", () => resolve());
  await promise;
  clearInterval(timer);
}

for (const [name, command] of Object.entries(RUNTIMES)) {
  test.concurrent(
    `serve() cuts who says nothing, half a head, or a byte at a time, on ${name}`,
    async () => {
      await using server = await LimitedServer.start(command);
      await Promise.all([
        speak(server.url, ""),
        speak(server.url, "GET /te"),
        speak(server.url, "GET /text HTTP/1.1\r\nHost: x\r\nX: "),
        drip(server.url, "GET /" + "a".repeat(3000)),
        drip(server.url, "GET /text HTTP/1.1\r\nHost: x\r\nX: " + "a".repeat(3000)),
        speak(server.url, "GET /text HTTP/1.1\r\nHost: x\r\n\r\n"),
      ]).then((answers) => {
        expect(answers.map((answer) => answer?.isClosed ?? true)).not.toContain(false);
      });
      expect(await server.isServing()).toBe(true);
    },
    60_000,
  );

  for (const [route, who] of Object.entries({ leave: "answer it", gush: "read it" })) {
    test.concurrent(
      `serve() cuts a WebSocket that it has closed when the peer does not ${who}, on ${name}`,
      async () => {
        await using server = await LimitedServer.start(command);
        const socket = open(server.url).on("error", () => {});
        socket.write(head(`GET /${route}`, UPGRADE));
        if (route === "gush") socket.pause();
        else socket.resume();
        await until(() => server.said.includes("left"), "the server has closed it");
        await until(() => server.connectionCount() === 0, "it is cut");
        expect(await server.isServing()).toBe(true);
        socket.destroy();
      },
      60_000,
    );
  }

  test.concurrent(
    `serve() cuts who does not read, and holds little for it, on ${name}`,
    async () => {
      await using server = await LimitedServer.start(command);
      expect(await server.isServing()).toBe(true);
      const before = await server.residentBytes();
      const sockets = Array.from({ length: 8 }, () => {
        const socket = open(server.url);
        socket.on("error", () => {});
        socket.pause();
        socket.write("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
        return socket;
      });
      await until(() => server.said.split("cut\n").length - 1 === 8, "all streams are cut", 30_000);
      expect(await server.residentBytes() - before).toBeLessThan(128 * 1024 * 1024);
      for (const socket of sockets) socket.destroy();
      expect(await server.isServing()).toBe(true);
    },
    60_000,
  );

  test.concurrent(
    `serve() lets a transfer pause for longer than a head may, on ${name}`,
    async () => {
      await using server = await LimitedServer.start(command);
      // On Bun the silence of an upload is for its reader to limit; on Deno the gate has 6 s.
      const pauseMs = name === "Bun" ? 8000 : 3000;
      const socket = open(server.url);
      let text = "";
      socket.on("data", (chunk) => text += chunk.toString());
      socket.write(head("PUT /count", { "content-length": 6 }) + "abc");
      const timer = setTimeout(() => socket.write("def"), pauseMs);
      await until(() => text.endsWith("6"), "the body was counted");
      clearTimeout(timer);
      socket.destroy();
    },
    60_000,
  );

  test.concurrent(`serve() leaves a silent WebSocket open on ${name}`, async () => {
    await using server = await LimitedServer.start(command);
    const heard: number[] = [];
    let end: string | undefined;
    const socket = await connect(`${server.url.replace("http", "ws")}/echo`, {
      handlers: {
        message: (_socket, bytes) => heard.push(bytes.length),
        close: (_socket, code, reason) => end = `${code} ${reason}`,
      },
    });
    // Whoever came later is cut before.
    await speak(server.url, "");
    await speak(server.url, "GET /text HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(end).toBeUndefined();
    socket.send(new Uint8Array(7));
    await until(() => heard.length === 1, "the frame came back");
    socket.close(1000, "done");
  }, 60_000);

  test.concurrent(`serve() does not read the body of what it refuses on ${name}`, async () => {
    await using server = await LimitedServer.start(command);
    for (const how of [{ "content-length": 1e9 }, { "transfer-encoding": "chunked" }]) {
      const request = head("PUT /refuse", how).replace("connection: close\r\n", "");
      const { sentBytes, isClosed } = await speak(server.url, request, { flood: PIECE });
      expect(isClosed).toBe(true);
      expect(sentBytes).toBeLessThan(SYSTEM_BYTES_MAX);
    }
    const { statuses } = await speak(server.url, head("PUT /refuse", { "content-length": 1e9 }));
    expect(statuses).toEqual([403]);
  }, 60_000);

  test.concurrent(`serve() refuses heads beyond its limits on ${name}`, async () => {
    await using server = await LimitedServer.start(command);
    const many = Object.fromEntries(
      Array.from({ length: HEADERS_MAX + 1 }, (_, index) => [`x-${index}`, "a"]),
    );
    const cases: readonly [string, readonly number[]][] = [
      [head("GET /text"), [200]],
      [head(`GET /${"a".repeat(TARGET_CHARS_MAX)}`), [414]],
      [head(`GET /${"a".repeat(1_000_000)}`), [431, 400]],
      [head("GET /text", many), [431]],
      [head("GET /text", { x: "a".repeat(HEADER_BYTES_MAX) }), [431]],
      [head("GET /text", { x: "a".repeat(1_000_000) }), [431, 400]],
    ];
    for (const [request, allowed] of cases) {
      const { statuses } = await speak(server.url, request);
      expect(statuses.length).toBe(1);
      expect(allowed).toContain(statuses[0] ?? 0);
    }
    await until(() => server.said.split("refused request").length - 1 >= 3, "they are counted");
  }, 60_000);

  test.concurrent(
    `serve() takes one request for one, whatever its lengths say, on ${name}`,
    async () => {
      await using server = await LimitedServer.start(command);
      const inner = "GET /text HTTP/1.1\r\nHost: x\r\n\r\n";
      const chunked = { "transfer-encoding": "chunked" };
      const requests = [
        head("PUT /count", { "content-length": 5, ...chunked }) + `0\r\n\r\n${inner}`,
        head("PUT /count", { ...chunked, "Content-Length": 5 }) + `0\r\n\r\n${inner}`,
        head("PUT /count", { "content-length": 5, "Content-Length": 6 }) + `abcdef${inner}`,
        head("PUT /count", { "content-length": "-5" }) + inner,
        head("PUT /count", { "content-length": "0x5" }) + inner,
        head("PUT /count", { "content-length": "99999999999999999999999" }) + inner,
        head("PUT /count", { "transfer-encoding": "xchunked" }) + inner,
        head("PUT /count", { "transfer-encoding ": "chunked" }) + `0\r\n\r\n${inner}`,
        head("PUT /count", chunked) + `zz\r\nabc\r\n0\r\n\r\n${inner}`,
        head("PUT /count", chunked) + `-1\r\nabc\r\n0\r\n\r\n${inner}`,
        head("PUT /count", chunked) + `ffffffffffffffffff\r\nabc\r\n0\r\n\r\n${inner}`,
        head("GET /text", { x: "a\r\n b" }) + inner,
        head("GET /text", { x: "a\0b" }) + inner,
        "GET /te\0xt HTTP/1.1\r\nHost: x\r\n\r\n" + inner,
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "a".repeat(600) + "\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner,
      ];
      for (const request of requests) {
        const { statuses, text } = await speak(server.url, request);
        expect([request, statuses.filter((status) => status < 400)]).toEqual([request, []]);
        expect(text).not.toContain("hello");
      }
      expect(await server.isServing()).toBe(true);
    },
    60_000,
  );
}

test("serve() on Deno outlives more connections than it has descriptors for", async () => {
  const command = ["sh", "-c", 'ulimit -n 700; exec "$@"', "sh", ...RUNTIMES.Deno];
  await using server = await LimitedServer.start(command);
  const sockets = Array.from({ length: 900 }, () => open(server.url).on("error", () => {}));
  await until(() => server.said.includes("refused connection"), "there is no more room");
  // One more that comes while there is no room is turned away as the others are.
  const serves = () => server.isServing().catch(() => false);
  await until(serves, "one is served among those that hold on");
  for (const socket of sockets) socket.destroy();
  await until(serves, "one is served when they have gone");
}, 60_000);
