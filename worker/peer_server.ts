/**
 * Serves the files of this worker's cache to those whom the manager gave a ticket.
 *
 * Nothing is served before a session says under which key tickets are valid. A file goes out by
 * the runtime's own fast path, a directory as its canonical tar stream.
 *
 * @module
 */

import { openAsBlob } from "node:fs";
import { setImmediate } from "node:timers/promises";

import { type Context, Hono } from "hono";

import { checkCacheName } from "../shared/cache_name.ts";
import type { WorkerId } from "../shared/ids.ts";
import { serve, type Server } from "../shared/runtime/serve.ts";
import { checkTicket, readTicketHeader, type TicketClaims } from "../shared/ticket.ts";
import type { CacheStore, Hold } from "./cache_store.ts";
import { streamOf } from "./transfer.ts";
import type { Trees } from "./trees.ts";

/** Directories read at the same time for others; the manager's tickets allow fewer. */
const TREE_SERVES_MAX = 32;

/** What serving needs to know of the session. */
export interface PeerSession {
  readonly transferKey: Uint8Array;
  /** Manager time less this process's `Date.now()`. */
  readonly clockOffsetMs: number;
}

/** What a peer server is made of. */
export interface PeerServerOptions {
  readonly workerId: WorkerId;
  readonly cache: CacheStore;
  readonly trees: Pick<Trees, "read">;
}

/** Owner of the listening socket. */
export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #server: Server;
  #session: PeerSession | undefined;
  #treeServeCount = 0;

  /** Listens on loopback, on a free port. */
  constructor(options: PeerServerOptions) {
    this.#options = options;
    const app = new Hono();
    app.get("/files/*", (context) => this.#serveFile(context));
    app.onError((_error, context) => context.text("The file cannot be read", 500));
    this.#server = serve(app);
  }

  /** Where peers reach it. */
  get urls(): readonly string[] {
    return [`http://${this.#server.hostname}:${this.#server.port}`];
  }

  /** From now on tickets of this session are valid, and of no other. */
  openSession(session: PeerSession): void {
    this.#session = session;
  }

  /** Cuts what is under way and stops listening. */
  close(): Promise<void> {
    return this.#server.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serveFile(context: Context): Promise<Response> {
    const name = nameOf(context.req.url);
    if (name === undefined) return context.text("This is no cache name", 400);
    const claims = this.#checkTicket(context, name);
    if (claims === undefined) return context.text("No valid ticket for this file", 403);
    const hold = this.#options.cache.hold(checkCacheName(name), claims.generation);
    if (hold === undefined) return context.text("No such file here", 404);
    if (!isSame(hold, claims, context.req.header("If-Match"))) {
      hold.release();
      return context.text("The file here is another one", 412);
    }
    const range = readRange(context.req.header("Range"), hold.facts.sizeBytes);
    if (range === "unsatisfiable") {
      hold.release();
      return context.body(null, 416, { "Content-Range": `bytes */${hold.facts.sizeBytes}` });
    }
    try {
      return hold.facts.isDirectory
        ? this.#serveTree(context, hold, range)
        : await serveBytes(hold, range);
    } catch (error) {
      hold.release();
      throw error;
    }
  }

  #checkTicket(context: Context, name: string): TicketClaims | undefined {
    const ticket = readTicketHeader(context.req.header("Authorization"));
    if (ticket === undefined || this.#session === undefined) return undefined;
    const { transferKey, clockOffsetMs } = this.#session;
    const verdict = checkTicket(transferKey, ticket, {
      server: this.#options.workerId,
      method: "GET",
      name,
      nowMs: Date.now() + clockOffsetMs,
    });
    return verdict.kind === "ok" ? verdict.claims : undefined;
  }

  #serveTree(context: Context, hold: Hold, range: ByteRange | undefined): Response {
    if (this.#treeServeCount >= TREE_SERVES_MAX) {
      hold.release();
      return context.text("Too many transfers at once", 503, { "Retry-After": "1" });
    }
    this.#treeServeCount += 1;
    const onEnd = () => {
      this.#treeServeCount -= 1;
      hold.release();
    };
    const { startBytes, endBytes } = range ?? { startBytes: 0, endBytes: hold.facts.sizeBytes };
    const tree = this.#options.trees.read(hold.path, startBytes);
    const chunks = limit(tree, { sizeBytes: endBytes - startBytes, onEnd });
    const headers = headersOf(hold, range);
    headers["Content-Length"] = String(endBytes - startBytes);
    return new Response(streamOf(chunks), { status: range === undefined ? 200 : 206, headers });
  }
}

/** Bytes from `startBytes` up to, not including, `endBytes`. */
interface ByteRange {
  readonly startBytes: number;
  readonly endBytes: number;
}

/** The runtime sends the file itself, without its bytes passing through here. */
async function serveBytes(hold: Hold, range: ByteRange | undefined): Promise<Response> {
  const blob = await openAsBlob(hold.path);
  const body = range === undefined ? blob : blob.slice(range.startBytes, range.endBytes);
  // The file is opened when the response is sent, in the turn after this one; from then on its
  // bytes stay readable wherever its name goes.
  void setImmediate().then(() => setImmediate()).then(hold.release);
  return new Response(body, {
    status: range === undefined ? 200 : 206,
    headers: headersOf(hold, range),
  });
}

function headersOf(hold: Hold, range: ByteRange | undefined): Record<string, string> {
  const { digest, sizeBytes } = hold.facts;
  const headers: Record<string, string> = {
    "Content-Type": "application/octet-stream",
    "Accept-Ranges": "bytes",
  };
  if (digest !== "") headers["ETag"] = `"${digest}"`;
  if (range !== undefined) {
    headers["Content-Range"] = `bytes ${range.startBytes}-${range.endBytes - 1}/${sizeBytes}`;
  }
  return headers;
}

/** The decoded name, when it is one that a cache can have. */
function nameOf(url: string): string | undefined {
  const path = new URL(url).pathname.slice("/files/".length);
  try {
    const name = decodeURIComponent(path);
    checkCacheName(name);
    return name;
  } catch {
    // No percent encoding, or no cache name: the same answer to both.
    return undefined;
  }
}

/** A ticket is for one making and, where known, one content; so may the request be. */
function isSame(hold: Hold, claims: TicketClaims, ifMatch: string | undefined): boolean {
  const { digest, sizeBytes } = hold.facts;
  if (claims.digest !== "" && claims.digest !== digest) return false;
  if (claims.sizeBytes >= 0 && claims.sizeBytes !== sizeBytes) return false;
  if (ifMatch === undefined || ifMatch === "*") return true;
  return digest !== "" && ifMatch.split(",").some((tag) => tag.trim() === `"${digest}"`);
}

/** One range, as RFC 9110 section 14 has it; anything else is answered with the whole file. */
function readRange(
  header: string | undefined,
  sizeBytes: number,
): ByteRange | "unsatisfiable" | undefined {
  const match = /^bytes=(\d{1,15})-(\d{1,15})?$/.exec(header ?? "");
  if (match === null) return undefined;
  const startBytes = Number(match[1]);
  const endBytes = match[2] === undefined ? sizeBytes : Math.min(Number(match[2]) + 1, sizeBytes);
  return startBytes >= endBytes ? "unsatisfiable" : { startBytes, endBytes };
}

/** The first `sizeBytes` of `chunks`. */
async function* limit(
  chunks: AsyncIterable<Uint8Array>,
  { sizeBytes, onEnd }: { sizeBytes: number; onEnd: () => void },
): AsyncGenerator<Uint8Array, void, void> {
  let leftBytes = sizeBytes;
  try {
    for await (const chunk of chunks) {
      yield leftBytes < chunk.length ? chunk.subarray(0, leftBytes) : chunk;
      leftBytes -= chunk.length;
      if (leftBytes <= 0) return;
    }
  } finally {
    onEnd();
  }
}
