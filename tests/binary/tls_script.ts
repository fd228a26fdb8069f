/**
 * One end of TLS for tls.test.ts, run by Bun, by Deno and by the binary: `serve` answers until its
 * standard input ends, `dial` tries what it reads there. Both print JSON.
 */

import { readFileSync, statSync } from "node:fs";
import process from "node:process";
import { text } from "node:stream/consumers";

import { Hono } from "hono";

import { newCertificate } from "../../shared/certificate.ts";
import { connect } from "../../shared/runtime/connect.ts";
import { pinnedFetch } from "../../shared/runtime/fetch.ts";
import { requestBody } from "../../shared/runtime/file_body.ts";
import { serve, upgradeSocket } from "../../shared/runtime/serve.ts";
import { boundedBody, readFrom } from "../../shared/runtime/serve_room.ts";

/** What `dial` reads. */
export interface DialOrder {
  readonly host: string;
  readonly certificate: string;
  readonly otherCertificate: string;
  readonly file: string;
}

/** What `dial` prints. */
export interface DialReport {
  readonly receivedBytes: number;
  /** As the server counted them. */
  readonly sentBytes: string;
  readonly frameBytes: number;
  /** Why the other certificate was refused, by fetch and by a WebSocket. */
  readonly refusals: readonly string[];
  readonly peakGrowthBytes: number;
}

/** The most memory that this process ever had. */
function peakBytes(): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

async function sizeOf(body: ReadableStream<Uint8Array> | null): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of body ?? []) sizeBytes += chunk.length;
  return sizeBytes;
}

async function serveFile(file: string): Promise<void> {
  const sizeBytes = statSync(file).size;
  const app = new Hono();
  app.get("/file", (context) => {
    const request = context.req.raw;
    const body = boundedBody(readFrom(file, 0), { sizeBytes, request, onEnd: () => {} });
    return new Response(body);
  });
  app.put("/file", async (context) => context.text(String(await sizeOf(context.req.raw.body))));
  app.get(
    "/echo",
    upgradeSocket(() => ({ message: (socket, bytes) => socket.send(bytes), close: () => {} })),
  );
  const tls = await newCertificate([]);
  const server = serve(app, { tls });
  const startBytes = peakBytes();
  say({ host: `127.0.0.1:${server.port}`, certificate: tls.certificate });
  await text(process.stdin);
  await server.close();
  say({ peakGrowthBytes: peakBytes() - startBytes });
}

async function dial(order: DialOrder): Promise<DialReport> {
  const { host, certificate, otherCertificate, file } = order;
  const url = `https://${host}/file`;
  const echoUrl = `wss://${host}/echo`;
  const refusals = await Promise.all([
    pinnedFetch(url, {}, otherCertificate).then(() => "", String),
    echoed(echoUrl, otherCertificate).then(() => "", String),
  ]);
  const frameBytes = await echoed(echoUrl, certificate);
  const startBytes = peakBytes();
  const receivedBytes = await sizeOf((await pinnedFetch(url, {}, certificate)).body);
  const sizeBytes = statSync(file).size;
  const headers = { "Content-Length": String(sizeBytes) };
  const body = await requestBody(file, sizeBytes);
  const put = await pinnedFetch(url, { method: "PUT", headers, body }, certificate);
  const sentBytes = await put.text();
  const peakGrowthBytes = peakBytes() - startBytes;
  return { receivedBytes, sentBytes, frameBytes, refusals, peakGrowthBytes };
}

async function echoed(url: string, certificate: string): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const handlers = {
    message: (_socket: unknown, bytes: Uint8Array) => resolve(bytes.length),
    close: () => {},
  };
  const socket = await connect(url, { handlers, certificate });
  socket.send(new Uint8Array(1_000_000));
  const frameBytes = await promise;
  socket.close(1000, "");
  return frameBytes;
}

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

const [mode, file = ""] = process.argv.slice(2);
if (mode === "serve") await serveFile(file);
else say(await dial(JSON.parse(await text(process.stdin))));
process.exit(0);
