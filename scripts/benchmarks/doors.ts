/**
 * What proofs and privacy cost: TLS, the challenge, tickets, certificates. Each stands beside the
 * same thing done without. The servers run in a process of their own, as they would.
 */
import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";
import { Hono } from "hono";

import { newCertificate } from "../../shared/certificate.ts";
import { acceptChannel, dialChannel } from "../../shared/channel.ts";
import { newSecret } from "../../shared/handshake.ts";
import { connect } from "../../shared/runtime/connect.ts";
import { pinnedFetch } from "../../shared/runtime/fetch.ts";
import { requestBody } from "../../shared/runtime/file_body.ts";
import { serve, upgradeSocket } from "../../shared/runtime/serve.ts";
import type { Socket } from "../../shared/runtime/socket.ts";
import { checkTicket, issueTicket, type TicketClaims } from "../../shared/ticket.ts";
import { writeRandomFile } from "./baselines.ts";
import { type Figure, repeat, type Run } from "./figure.ts";
import { timed, withWorkers } from "./workers.ts";

const FILE_BYTES = 300_000_000;
const CONNECTION_COUNT = 300;
const FRAME_COUNT = 20_000;
/** About what a turn of the loop sends of short tasks. */
const FRAME_BYTES = 4096;
const FRAMES_IN_FLIGHT = 16;
const TICKET_COUNT = 20_000;
const TASK_COUNT = 2000;
const WORKER_COUNT = 2;
const CERTIFICATE_COUNT = 50;

/** Where the doors of a bench are. */
interface Door {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** PEM, when it speaks TLS. */
  readonly certificate?: string;
}

interface Doors {
  readonly plain: Door;
  readonly secure: Door;
  readonly secret: string;
  readonly file: string;
}

const CLAIMS: TicketClaims = {
  source: "worker-1",
  destination: "worker-2",
  method: "GET",
  name: "data-0123456789abcdef",
  generation: 1,
  sizeBytes: FILE_BYTES,
  digest: "0".repeat(64),
  expiresAtMs: Number.MAX_SAFE_INTEGER,
};

/** All of it, with several servers on loopback. */
export async function measureDoors(): Promise<Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-bench-"));
  try {
    const file = join(directory, "file");
    await writeRandomFile(file, FILE_BYTES);
    const secret = newSecret();
    const child = Bun.spawn({
      cmd: [process.execPath, fileURLToPath(import.meta.url), file],
      env: { ...process.env, BENCH_SECRET: secret },
      stdio: ["pipe", "pipe", "inherit"],
    });
    try {
      const line = await firstLine(child.stdout);
      const figures = await measureAll({ ...JSON.parse(line), secret, file });
      return [...await measureWorkers(file), ...figures];
    } finally {
      child.kill();
      await child.exited;
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measureAll(doors: Doors): Promise<Figure[]> {
  const { plain, secure } = doors;
  const beside = "plain";
  const byDoor = (measure: (door: Door) => Promise<number>): Promise<Run[]> =>
    repeat(async () => ({ baseline: await measure(plain), value: await measure(secure) }));
  const shake = (door: Door): Promise<number> => connectRate(door, doors.secret);
  const bare = (door: Door): Promise<number> => connectRate(door);
  return [
    {
      name: `${FILE_BYTES / 1e6} MB fetched over TLS`,
      ...{ unit: "MB/s", beside, aim: "0.3" },
      runs: await byDoor(downloadRate),
    },
    {
      name: `${FILE_BYTES / 1e6} MB sent over TLS`,
      ...{ unit: "MB/s", beside, aim: "0.3" },
      runs: await byDoor((door) => uploadRate(door, doors.file)),
    },
    {
      name: `frames of ${FRAME_BYTES / 1024} KiB there and back over TLS`,
      ...{ unit: "frames/s", beside, aim: "0.6" },
      runs: await byDoor(frameRate),
    },
    {
      name: "connections with the challenge",
      ...{ unit: "1/s", beside: "none", aim: "0.4" },
      runs: await repeat(async () => ({ baseline: await bare(plain), value: await shake(plain) })),
    },
    {
      name: "connections with the challenge and TLS",
      ...{ unit: "1/s", beside: "neither", aim: "0.15" },
      runs: await repeat(async () => ({ baseline: await bare(plain), value: await shake(secure) })),
    },
    ...await measureProofs(),
  ];
}

/** Whole workflows, with workers that are reached over TLS and over loopback in plain. */
async function measureWorkers(file: string): Promise<Figure[]> {
  const beside = "plain";
  const listen = ["127.0.0.1:0", "0.0.0.0:0"] as const;
  const onBoth = (measure: (listen: string) => Promise<number>): Promise<Run[]> =>
    repeat(async () => ({ baseline: await measure(listen[0]), value: await measure(listen[1]) }));
  return [
    {
      name: `tasks of ${WORKER_COUNT} workers over TLS`,
      ...{ unit: "tasks/s", beside, aim: "0.8" },
      runs: await onBoth(taskRate),
    },
    {
      name: `${FILE_BYTES / 1e6} MB to a task and back over TLS`,
      ...{ unit: "MB/s", beside, aim: "0.5" },
      runs: await onBoth((listen) => roundTripRate(listen, file)),
    },
  ];
}

async function taskRate(listen: string): Promise<number> {
  return await withWorkers({ count: WORKER_COUNT, cores: 1 }, async (manager) => {
    const ms = await timed(async () => {
      const tasks = Array.from({ length: TASK_COUNT }, () => manager.submit({ command: "true" }));
      await Promise.all(tasks.map((task) => task.orThrow()));
    });
    return TASK_COUNT / ms * 1000;
  }, { listen });
}

/** Both ways of one file, which the task copies in between. */
async function roundTripRate(listen: string, path: string): Promise<number> {
  return await withWorkers({ count: 1 }, async (manager) => {
    const inputs = { input: manager.file(path) };
    const outputs = { output: manager.file(`${path}-back`) };
    const ms = await timed(async () => {
      await manager.submit({ command: "cp input output", inputs, outputs }).orThrow();
    });
    return 2 * FILE_BYTES / ms / 1000;
  }, { listen });
}

/** What needs no server. */
async function measureProofs(): Promise<Figure[]> {
  const key = new Uint8Array(randomBytes(32));
  const body = JSON.stringify(Object.values(CLAIMS));
  const ticket = issueTicket(key, CLAIMS);
  const use = { server: CLAIMS.source, method: "GET", name: CLAIMS.name, nowMs: 0 };
  const hmac = () => void createHmac("sha256", key).update(body).digest();
  const issue = () => void issueTicket(key, CLAIMS);
  const check = () => {
    if (checkTicket(key, ticket, use).kind !== "ok") throw new Error("The ticket is refused");
  };
  const tickets = (work: () => void) =>
    repeat(() => Promise.resolve({ baseline: callRate(hmac), value: callRate(work) }));
  return [
    {
      name: "tickets issued",
      ...{ unit: "1/s", beside: "HMAC", aim: "0.4" },
      runs: await tickets(issue),
    },
    {
      name: "tickets checked",
      ...{ unit: "1/s", beside: "HMAC", aim: "0.25" },
      runs: await tickets(check),
    },
    {
      name: "certificate made",
      ...{ unit: "ms", beside: "its key", aim: "below 50 ms" },
      runs: await repeat(measureCertificate),
    },
  ];
}

function callRate(work: () => void): number {
  const startMs = performance.now();
  for (let count = 0; count < TICKET_COUNT; count++) work();
  return TICKET_COUNT / (performance.now() - startMs) * 1000;
}

async function measureCertificate(): Promise<Run> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const each = async (work: () => Promise<unknown>): Promise<number> => {
    return await timed(async () => {
      for (let count = 0; count < CERTIFICATE_COUNT; count++) await work();
    }) / CERTIFICATE_COUNT;
  };
  const newKey = () => crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  // The first one loads the library.
  await newCertificate([]);
  return { baseline: await each(newKey), value: await each(() => newCertificate(["10.0.0.1"])) };
}

async function downloadRate({ host, certificate }: Door): Promise<number> {
  const url = `${certificate === undefined ? "http" : "https"}://${host}/file`;
  let sizeBytes = 0;
  const ms = await timed(async () => {
    const response = await pinnedFetch(url, {}, certificate);
    for await (const chunk of response.body ?? []) sizeBytes += chunk.length;
  });
  if (sizeBytes !== FILE_BYTES) throw new Error(`Cannot measure: ${sizeBytes} bytes came`);
  return sizeBytes / ms / 1000;
}

async function uploadRate({ host, certificate }: Door, file: string): Promise<number> {
  const url = `${certificate === undefined ? "http" : "https"}://${host}/file`;
  let taken = "";
  const ms = await timed(async () => {
    const body = await requestBody(file, FILE_BYTES);
    const headers = { "Content-Length": String(FILE_BYTES) };
    taken = await (await pinnedFetch(url, { method: "PUT", body, headers }, certificate)).text();
  });
  if (taken !== String(FILE_BYTES)) throw new Error(`Cannot measure: "${taken}" bytes arrived`);
  return FILE_BYTES / ms / 1000;
}

async function frameRate({ host, certificate }: Door): Promise<number> {
  const frame = new Uint8Array(randomBytes(FRAME_BYTES));
  const { promise, resolve } = Promise.withResolvers<void>();
  let [sentCount, cameCount] = [0, 0];
  const send = (socket: Socket): void => {
    if (sentCount++ < FRAME_COUNT) socket.send(frame);
  };
  const ms = await timed(async () => {
    const url = `${certificate === undefined ? "ws" : "wss"}://${host}/echo`;
    const socket = await connect(url, {
      certificate,
      handlers: {
        open: (socket) => {
          for (let count = 0; count < FRAMES_IN_FLIGHT; count++) send(socket);
        },
        message: (socket) => {
          if (++cameCount === FRAME_COUNT) resolve();
          else send(socket);
        },
        close: () => {},
      },
    });
    await promise;
    socket.close(1000, "");
  });
  return FRAME_COUNT / ms * 1000;
}

/** Connections one after the other, with the challenge when there is a secret. */
async function connectRate({ host, certificate }: Door, secret?: string): Promise<number> {
  const scheme = certificate === undefined ? "ws" : "wss";
  const url = `${scheme}://${host}/${secret === undefined ? "echo" : "channel"}`;
  const ms = await timed(async () => {
    for (let count = 0; count < CONNECTION_COUNT; count++) {
      const opened = Promise.withResolvers<{ close(): void }>();
      const handlers = secret === undefined
        ? {
          open: (socket: Socket) => opened.resolve({ close: () => socket.close(1000, "") }),
          message: () => {},
          close: () => {},
        }
        : dialChannel({ role: "worker", secret }, {
          check: () => undefined,
          refused: ({ reason }) => opened.reject(new Error(`Cannot measure: ${reason}`)),
          handlers: {
            open: (channel) => opened.resolve({ close: () => channel.close("") }),
            messages: () => {},
            close: () => {},
          },
        });
      await connect(url, { certificate, handlers });
      (await opened.promise).close();
    }
  });
  return CONNECTION_COUNT / ms * 1000;
}

/** The servers of a bench, in a process of their own until that is killed. */
async function serveDoors(file: string, secret: string): Promise<void> {
  const app = new Hono();
  app.get("/file", () => new Response(Bun.file(file)));
  app.put("/file", async (context) => {
    let sizeBytes = 0;
    for await (const chunk of context.req.raw.body ?? []) sizeBytes += chunk.length;
    return context.text(String(sizeBytes));
  });
  app.get(
    "/echo",
    upgradeSocket(() => ({ message: (socket, bytes) => socket.send(bytes), close: () => {} })),
  );
  const handlers = { open: () => {}, messages: () => {}, close: () => {} };
  app.get(
    "/channel",
    upgradeSocket(() => acceptChannel({ worker: secret }, { check: () => undefined, handlers })),
  );
  const tls = await newCertificate([]);
  const host = (port: number) => `127.0.0.1:${port}`;
  const plain = { host: host(serve(app).port) };
  const secure = { host: host(serve(app, { tls }).port), certificate: tls.certificate };
  process.stdout.write(`${JSON.stringify({ plain, secure })}\n`);
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) return text;
  }
  throw new Error("Cannot measure: the servers did not start");
}

if (import.meta.main) await serveDoors(process.argv[2] ?? "", process.env["BENCH_SECRET"] ?? "");
