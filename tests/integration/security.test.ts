import { expect, test } from "bun:test";
import { randomBytes, randomInt } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { deflateRawSync } from "node:zlib";

import { Manager } from "../../mod.ts";
import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import { type Channel, dialChannel } from "../../shared/channel.ts";
import { encodeFrame } from "../../shared/codec.ts";
import type { Role } from "../../shared/handshake.ts";
import { managerMessage } from "../../shared/message_shapes.ts";
import {
  type ManagerMessage,
  PROTOCOL_VERSION,
  type WorkerMessage,
} from "../../shared/protocol.ts";
import { connect } from "../../shared/runtime/connect.ts";
import { issueTicket, ticketHeader } from "../../shared/ticket.ts";
import { processesOf, readProc, Scratch, until } from "./scratch.ts";

const BAD_FRAME_COUNT = 10_000;
/** Frames sent on one connection that has been accepted, and before. */
const FRAMES_PER_CONNECTION = 5;
const CONNECTIONS_AT_ONCE = 10;

/** Paths that must lead nowhere; sent as they are, as no client of HTTP would. */
const HOSTILE_PATHS = [
  "/files/..%2F..%2Fetc%2Fpasswd",
  "/files/../../etc/passwd",
  "/files/%2e%2e/%2e%2e/etc/passwd",
  "/files/..%5c..%5cetc%5cpasswd",
  "/files/%252e%252e%252fetc%252fpasswd",
  "/files//etc/passwd",
  "/files/%2Fetc%2Fpasswd",
  "/files/....//....//etc/passwd",
  "/files/.",
  "/files/..",
  "/files/",
  "/files/a%00b",
  "/files/%ff%fe",
  "/files/%",
  `/files/${"a".repeat(5_000)}`,
  "/../../etc/passwd",
  "/etc/passwd",
];

/** The status and body of one request that is sent byte by byte as it stands. */
function request(url: string, { path, headers = {}, method = "GET" }: {
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly method?: string;
}): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const { host, hostname, port } = new URL(url);
  const socket = connectTcp(Number(port), hostname, () => {
    const lines = Object.entries({ host, connection: "close", ...headers });
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`${method} ${path} HTTP/1.1\r\n${head}\r\n`);
  });
  let text = "";
  socket.on("data", (bytes) => text += bytes.toString("latin1"));
  socket.on("error", reject);
  socket.on("close", () => {
    resolve({ status: Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1]), body: text });
  });
  return promise;
}

/** Dials as `role` with `secret`; resolves to the channel, or to why there is none. */
async function dial(
  url: string,
  { role, secret, path }: { readonly role: Role; readonly secret: string; readonly path: string },
): Promise<Channel<WorkerMessage> | string> {
  const { promise, resolve } = Promise.withResolvers<Channel<WorkerMessage> | string>();
  const handlers = dialChannel<ManagerMessage, WorkerMessage>({ role, secret }, {
    check: managerMessage,
    refused: (end) => resolve(end.reason || "refused"),
    handlers: { open: resolve, messages: () => {}, close: () => {} },
  });
  await connect(`${url.replace("http", "ws")}${path}`, { handlers });
  return await promise;
}

/** Keeps a workflow running until it is told to stop; gives back what went wrong. */
async function keepWorking(manager: Manager, isOver: () => boolean): Promise<string[]> {
  const faults: string[] = [];
  let count = 0;
  while (!isOver() || count < 5) {
    const [input, output] = [manager.buffer(`${count}`), manager.buffer()];
    const result = await manager.submit({
      command: "cat in > out",
      inputs: { in: input },
      outputs: { out: output },
    });
    if (result.outcome !== "success") faults.push(`${result.outcome} ${result.message}`);
    if (await output.text() !== `${count}`) faults.push("another content");
    if (result.try !== 1) faults.push(`try ${result.try}`);
    count += 1;
  }
  return faults;
}

async function urlsOf(manager: Manager, scratch: Scratch): Promise<{ access: AccessFile }> {
  const access = await readAccessFile(accessPath(manager.name));
  await scratch.worker(manager);
  return { access };
}

/** Where the peer server of a worker listens: the only port that its process has open. */
async function peerUrl(processId: number): Promise<string> {
  const find = (): number | undefined => {
    const inodes = new Set<string>();
    for (const name of readdirSync(`/proc/${processId}/fd`)) {
      try {
        const link = /^socket:\[(\d+)\]$/.exec(
          readlinkSync(`/proc/${processId}/fd/${name}`),
        );
        if (link?.[1] !== undefined) inodes.add(link[1]);
      } catch {
        // Closed meanwhile.
      }
    }
    const LISTEN = "0A";
    for (const line of readProc(processId, "net/tcp").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] !== LISTEN || !inodes.has(fields[9] ?? "")) continue;
      return Number.parseInt(fields[1]?.split(":")[1] ?? "", 16);
    }
    return undefined;
  };
  await until(() => find() !== undefined, "the peer server listens");
  return `http://127.0.0.1:${find()}`;
}

test("A manager refuses workers and clients without the right secret of their role", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const { access } = await urlsOf(manager, scratch);
  const { worker = "", client = "" } = access.secrets;
  const wrong = Buffer.from(randomBytes(32)).toString("base64url");
  const tries: readonly [Role, string, string][] = [
    ["worker", wrong, "/worker"],
    ["worker", "", "/worker"],
    ["client", wrong, "/client"],
    ["client", "", "/client"],
    ["client", worker, "/client"],
    ["worker", client, "/worker"],
    ["worker", worker, "/client"],
    ["client", client, "/worker"],
    ["viewer", client, "/client"],
  ];
  for (const [role, secret, path] of tries) {
    const answer = await dial(manager.address, { role, secret, path });
    expect([role, path, typeof answer]).toEqual([role, path, "string"]);
  }
  const right = await dial(manager.address, { role: "worker", secret: worker, path: "/worker" });
  expect(typeof right).toBe("object");
  if (typeof right === "object") right.close("done");
  await until(() => manager.status().workers.connected === 1, "the real worker is there");
}, 120_000);

test("A manager refuses who echoes its messages, and who speaks before the handshake", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await urlsOf(manager, scratch);
  for (const path of ["/worker", "/client"]) {
    const role = path.slice(1);
    const nonce = new Uint8Array(randomBytes(32));
    const hello = { kind: "auth_hello", protocol: PROTOCOL_VERSION, role, nonce };
    const heard: Uint8Array[] = [];
    const ended = Promise.withResolvers<void>();
    await connect(`${manager.address.replace("http", "ws")}${path}`, {
      handlers: {
        open: (socket) => socket.send(frameOf([hello])),
        message: (socket, bytes) => {
          heard.push(bytes.slice());
          socket.send(bytes.slice());
        },
        close: () => ended.resolve(),
      },
    });
    await ended.promise;
    const said = heard.map((bytes) => Buffer.from(bytes).toString("latin1")).join();
    expect(said).toContain("auth_challenge");
    expect(said).not.toContain("auth_accepted");
  }
  const first = { kind: "heartbeat" };
  const ended = Promise.withResolvers<void>();
  await connect(`${manager.address.replace("http", "ws")}/worker`, {
    handlers: {
      open: (socket) => socket.send(frameOf([first])),
      message: () => {},
      close: () => ended.resolve(),
    },
  });
  await ended.promise;
}, 120_000);

test("Transfers without a valid ticket get 403, from the manager and from a worker", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager);
  const path = scratch.path("input");
  await writeFile(path, randomBytes(100_000));
  const file = manager.file(path);
  expect((await manager.submit({ command: "wc -c < in", inputs: { in: file } })).outcome)
    .toBe("success");
  const peer = await peerUrl(worker.child.pid ?? 0);
  const forged = ticketHeader(issueTicket(randomBytes(32), {
    source: "manager",
    destination: "worker",
    method: "GET",
    name: file.cacheName ?? "",
    generation: 0,
    sizeBytes: 100_000,
    digest: "",
    expiresAtMs: Date.now() + 60_000,
  }));
  const name = `/files/${file.cacheName}`;
  for (const url of [manager.address, peer]) {
    for (const authorization of ["", "Tendril", "Tendril x.y", "Bearer abc", forged]) {
      const { status, body } = await request(url, { path: name, headers: { authorization } });
      expect([url === peer, authorization, status]).toEqual([url === peer, authorization, 403]);
      expect(body.length).toBeLessThan(1_000);
    }
    expect((await request(url, { path: name })).status).toBe(403);
  }
  const put = {
    path: name,
    method: "PUT",
    headers: { "content-length": "0", authorization: forged },
  };
  expect((await request(manager.address, put)).status).toBe(403);
  expect([404, 405]).toContain((await request(peer, put)).status);
}, 120_000);

test(
  "Names that climb out of the cache get 400 or 404, from the manager and from a worker",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager);
    await until(() => manager.status().workers.connected === 1, "the worker is there");
    const peer = await peerUrl(worker.child.pid ?? 0);
    for (const url of [manager.address, peer]) {
      for (const method of ["GET", "PUT"]) {
        for (const path of HOSTILE_PATHS) {
          const headers = method === "PUT" ? { "content-length": "0" } : {};
          const { status, body } = await request(url, { path, method, headers });
          // What climbs to the root is given the page that anybody is given.
          const isPage = status === 200 && /<!doctype html>/i.test(body);
          const isRefused = [400, 404, 405, 414].includes(status);
          expect([method, path, isRefused || isPage && path === "/files/.." ? "refused" : status])
            .toEqual([method, path, "refused"]);
          expect(body).not.toContain("root:");
        }
      }
    }
  },
  120_000,
);

function frameOf(messages: readonly Message[]): Uint8Array {
  const [frame] = encodeFrame(messages, { compress: false });
  if (frame === undefined) throw new Error("No frame was made");
  return frame;
}

/** Any message, as hostile ones are no `WorkerMessage`. */
type Message = { readonly kind: string } & Readonly<Record<string, unknown>>;

/** A frame that a confused or a hostile peer may send. */
function badFrame(good: Uint8Array): Uint8Array {
  if (randomInt(3) === 0) return randomBytes(randomInt(1, 2_000));
  const frame = good.slice();
  for (let count = randomInt(1, 6); count > 0; count--) {
    frame[randomInt(frame.length)] = randomInt(256);
  }
  return randomInt(4) === 0 ? frame.subarray(0, randomInt(frame.length)) : frame;
}

/** Sends frames on one connection, after the handshake when `secret` is given, until it closes. */
async function attack(
  manager: Manager,
  { frames, secret }: { readonly frames: readonly Uint8Array[]; readonly secret?: string },
): Promise<number> {
  const closed = Promise.withResolvers<void>();
  let sentCount = 0;
  const send = (socket: { send: (bytes: Uint8Array) => unknown }): void => {
    for (const frame of frames) {
      socket.send(frame);
      sentCount += 1;
    }
  };
  const url = `${manager.address.replace("http", "ws")}/worker`;
  if (secret === undefined) {
    await connect(url, {
      handlers: { open: send, message: () => {}, close: () => closed.resolve() },
    });
  } else {
    const handlers = dialChannel<ManagerMessage, WorkerMessage>({ role: "worker", secret }, {
      check: managerMessage,
      handlers: {
        open: () => socket.then(send),
        messages: () => {},
        close: () => closed.resolve(),
      },
    });
    const socket = connect(url, { handlers });
    await socket;
  }
  const limit = setTimeout(closed.resolve, 5_000);
  await closed.promise;
  clearTimeout(limit);
  return sentCount;
}

test("10,000 bad frames and a bomb harm nothing but their own connections", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const { access } = await urlsOf(manager, scratch);
  const secret = access.secrets.worker ?? "";
  let isOver = false;
  const work = keepWorking(manager, () => isOver);
  const good = frameOf([
    { kind: "heartbeat" },
    { kind: "started", tries: [{ taskId: 1, try: 1 }] },
    { kind: "recalled", taskId: 1, try: 1 },
  ]);
  let sentCount = 0;
  while (sentCount < BAD_FRAME_COUNT) {
    const counts = await Promise.all(
      Array.from({ length: CONNECTIONS_AT_ONCE }, (_, index) => {
        const frames = Array.from({ length: FRAMES_PER_CONNECTION }, () => badFrame(good));
        return attack(manager, index % 2 === 0 ? { frames, secret } : { frames });
      }),
    );
    sentCount += counts.reduce((sum, count) => sum + count, 0);
  }
  const bomb = Buffer.concat([Uint8Array.of(1), deflateRawSync(new Uint8Array(500_000_000))]);
  const residentKiB = () => process.memoryUsage.rss() / 1024;
  const before = residentKiB();
  await attack(manager, { frames: [bomb], secret });
  await attack(manager, { frames: [bomb] });
  expect(residentKiB() - before).toBeLessThan(200_000);
  isOver = true;
  expect(await work).toEqual([]);
  await until(() => manager.status().workers.connected === 1, "only the real worker is there");
  expect(manager.status().tasks.failed).toBe(0);
}, 120_000);

/** All that lies below `folder`, as text. */
function allText(folder: string, except: (path: string) => boolean): string {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return paths.map((path) => `${folder}/${path}`).filter((path) => {
    return !except(path) && statSync(path, { throwIfNoEntry: false })?.isFile();
  }).map((path) => readFileSync(path, "latin1")).join("\n");
}

test(
  "Secrets stand in no command line, log or output, only in access files of mode 0600",
  async () => {
    await using scratch = await Scratch.open();
    const runDirectory = scratch.path("run");
    await using manager = await Manager.start({ workers: 1, runDirectory });
    const access = await readAccessFile(accessPath(manager.name));
    const worker = await scratch.worker(manager, { cores: 2 });
    const secrets = Object.values(access.secrets).filter((secret) => secret !== undefined);
    expect(secrets.length).toBe(3);
    const seen = manager.submit({
      command:
        "env; ls -la $PPID /proc/$PPID/environ; tr '\\0' '\\n' < /proc/$PPID/environ; sleep 0.2",
    });
    const wrongAccess = { ...access, secrets: { worker: `${secrets[0]}x` } };
    const wrong = await scratch.accessFile(wrongAccess);
    const module = scratch.path("library.ts");
    await writeFile(
      module,
      "export const echo = () => JSON.stringify([process.env, process.argv]);\n",
    );
    const called = await manager.library({ name: "echo", module }).call<string>("echo").value();
    const lines = readdirSync("/proc").filter((name) => /^\d+$/.test(name))
      .map((name) => readProc(name, "cmdline")).join("\n");
    const refused = Bun.spawn([
      `${import.meta.dirname}/../../dist/tendril`,
      "worker",
      "--access",
      wrong,
      "--workspace",
      scratch.path("other"),
      "--single",
      "--verbose",
    ], { stdout: "pipe", stderr: "pipe" });
    const refusal = await new Response(refused.stderr).text();
    expect(await refused.exited).toBe(1);
    const { stdout, stderr } = await seen;
    worker.child.kill("SIGTERM");
    await worker.ended;
    const files = allText(
      scratch.folder,
      (path) => path.includes("access") || path.includes("/home/"),
    );
    const said = refusal + worker.said() + await new Response(refused.stdout).text();
    for (const secret of secrets) {
      for (const text of [lines, stdout, stderr, called, files, said]) {
        expect(text.includes(secret)).toBe(false);
      }
    }
    expect(refusal).toMatch(
      /^tendril worker: Cannot join manager ".*secret/m,
    );
    expect(statSync(accessPath(manager.name)).mode & 0o777).toBe(0o600);
    expect(processesOf(worker.mark)).toEqual([]);
  },
  120_000,
);
