/**
 * Serves the files of this worker's cache to those whom the manager gave a ticket.
 *
 * Nothing is served before a session says under which key tickets are valid. A file goes out by
 * the runtime's own fast path where there is one, a directory as its canonical tar stream.
 * How many at a time is decided in serve_room.ts.
 *
 * @module
 */

import { openAsBlob } from "node:fs";
import { setImmediate } from "node:timers/promises";

import { type Context, Hono, type Next } from "hono";

import { hostsOf, isOwnHost } from "../shared/addresses.ts";
import { checkCacheName } from "../shared/cache_name.ts";
import { newCertificate } from "../shared/certificate.ts";
import type { WorkerId } from "../shared/ids.ts";
import { TIME_LIMITS, type TimeLimits } from "../shared/runtime/request_limits.ts";
import { beginTransfer, serve, type Server } from "../shared/runtime/serve.ts";
import { boundedBody, readFrom, SERVE_AGAIN_S, ServeRoom } from "../shared/runtime/serve_room.ts";
import { checkTicket, readTicketHeader, type TicketClaims } from "../shared/ticket.ts";
import { matchedValidator, validatorOf } from "../shared/validator.ts";
import type { CacheStore, Hold } from "./cache_store.ts";
import type { PeerAddress } from "./core/event.ts";
import { doorUrls, type PeerDoor } from "./peer_door.ts";
import type { Trees } from "./trees.ts";

/** Directories read at the same time for others; the manager's tickets allow fewer. */
const TREE_SERVES_MAX = 32;

/** Files and directories sent at the same time; whoever asks for more has to come again. */
const SERVES_MAX = 128;

const NO_HOSTS: ReadonlySet<string> = new Set();

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
  /** Default `TIME_LIMITS`. */
  readonly limits?: TimeLimits;
}

/** A server that listens. */
interface OpenDoor {
  readonly door: PeerDoor;
  readonly server: Server;
  readonly address: PeerAddress;
  /** Hosts of the urls, which the certificate names. */
  readonly hosts: ReadonlySet<string>;
}

/** Owner of the listening socket. */
export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #app: Hono = new Hono();
  #open: OpenDoor | undefined;
  #session: PeerSession | undefined;
  readonly #room: ServeRoom = new ServeRoom({
    streamsMax: SERVES_MAX,
    treesMax: TREE_SERVES_MAX,
  });
  #refusedCount = 0;
  #isClosed = false;

  constructor(options: PeerServerOptions) {
    this.#options = options;
    const app = this.#app;
    app.use((context, next) => this.#guard(context, next));
    app.get("/files/*", (context) => this.#serveFile(context));
    app.notFound((context) => this.#refuse(context.text("Only files are served here", 404)));
    app.onError((_error, context) => context.text("The file cannot be read", 500));
  }

  /** Where peers reach it; nowhere before it was opened. */
  get address(): PeerAddress {
    return this.#open?.address ?? { urls: [] };
  }

  /** Requests turned away since this was asked last. */
  takeRefused(): number {
    const count = this.#refusedCount;
    this.#refusedCount = 0;
    return count;
  }

  /** Listens at `door`, instead of where it did unless that will do; throws when it cannot. */
  async open(door: PeerDoor): Promise<void> {
    if (this.#open !== undefined && serves(this.#open, door)) return;
    const hosts = hostsOf(doorUrls(door, 0));
    const tls = door.isSecure ? await newCertificate(hosts) : undefined;
    const before = this.#open;
    this.#open = undefined;
    await before?.server.close();
    if (this.#isClosed) return;
    const { limits = TIME_LIMITS } = this.#options;
    const refused = () => void (this.#refusedCount += 1);
    const { host: hostname, port } = door;
    const server = serve(this.#app, { hostname, port, tls, limits, refused });
    const urls = doorUrls(door, server.port);
    const address = tls === undefined ? { urls } : { urls, certificate: tls.certificate };
    this.#open = { door, server, address, hosts: new Set(hosts) };
  }

  /** From now on tickets of this session are valid, and of no other. */
  openSession(session: PeerSession): void {
    this.#session = session;
  }

  /** Cuts what is under way and stops listening. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#open?.server.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Turns away what no peer sends, before it costs anything. */
  async #guard(context: Context, next: Next): Promise<Response | void> {
    // HEAD too: hono would have it served as GET, into nowhere.
    if (context.req.raw.method !== "GET") {
      return this.#refuse(context.text("Only GET is served here", 405, { Allow: "GET" }));
    }
    // A page may be made to call us by its own name (DNS rebinding), to read what it gets.
    if (!isOwnHost(context.req.header("Host"), this.#open?.hosts ?? NO_HOSTS)) {
      return this.#refuse(context.text("This server has another name", 421));
    }
    await next();
  }

  #refuse(response: Response): Response {
    this.#refusedCount += 1;
    return response;
  }

  #serveFile(context: Context): Response | Promise<Response> {
    const name = nameOf(context.req.url);
    if (name === undefined) return this.#refuse(context.text("This is no cache name", 400));
    const claims = this.#checkTicket(context, name);
    if (claims === undefined) {
      return this.#refuse(context.text("No valid ticket for this file", 403));
    }
    const hold = this.#options.cache.hold(checkCacheName(name), claims.generation);
    if (hold === undefined) return context.text("No such file here", 404);
    if (hold.isPlaced) {
      hold.release();
      return context.text("This file is of no use elsewhere", 404);
    }
    const tag = tagOf(hold, claims, context.req.header("If-Match"));
    if (tag === undefined) {
      hold.release();
      return context.text("The file here is another one", 412);
    }
    const range = readRange(context.req.header("Range"), hold.facts.sizeBytes);
    if (range === "unsatisfiable") {
      hold.release();
      return context.body(null, 416, { "Content-Range": `bytes */${hold.facts.sizeBytes}` });
    }
    if (this.#canBeFast(hold)) return sendFile(hold, { range, tag });
    const leave = this.#room.enter(hold.facts);
    if (leave === undefined) {
      hold.release();
      const again = String(SERVE_AGAIN_S);
      return context.text("Too many transfers at once", 503, { "Retry-After": again });
    }
    return this.#stream(context, { hold, leave, range, tag });
  }

  #canBeFast({ facts }: Hold): boolean {
    if (facts.isDirectory || this.#open === undefined) return false;
    const { door: { isSecure }, server: { requestCount } } = this.#open;
    return this.#room.isFast({ requestCount, isSecure });
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

  /** The response whose body ends the hold, however it ends. */
  #stream(
    context: Context,
    { hold, leave, range, tag }: Answer & { readonly hold: Hold; readonly leave: () => void },
  ): Response {
    const { isDirectory, sizeBytes } = hold.facts;
    const onEnd = () => {
      leave();
      hold.release();
    };
    const { startBytes, endBytes } = range ?? { startBytes: 0, endBytes: sizeBytes };
    const body = boundedBody(
      isDirectory
        ? this.#options.trees.read(hold.path, startBytes)
        : readFrom(hold.path, startBytes),
      {
        sizeBytes: endBytes - startBytes,
        request: context.req.raw,
        onEnd,
      },
    );
    beginTransfer(context);
    const headers = headersOf(hold, { range, tag });
    headers["Content-Length"] = String(endBytes - startBytes);
    return new Response(body, { status: range === undefined ? 200 : 206, headers });
  }
}

/** True when the server that is open will do where `wanted` is asked for. */
function serves({ door, hosts }: OpenDoor, wanted: PeerDoor): boolean {
  return door.host === wanted.host && door.port === wanted.port &&
    door.isSecure === wanted.isSecure &&
    hostsOf(doorUrls(wanted, 0)).every((host) => hosts.has(host));
}

/** Bytes from `startBytes` up to, not including, `endBytes`. */
interface ByteRange {
  readonly startBytes: number;
  readonly endBytes: number;
}

/** What of a file is sent, and by which name it was asked for. */
interface Answer {
  readonly range: ByteRange | undefined;
  /** Its `ETag`; empty when it has none. */
  readonly tag: string;
}

/** The runtime sends the file itself, without its bytes passing through here. */
async function sendFile(hold: Hold, { range, tag }: Answer): Promise<Response> {
  let blob: Blob;
  try {
    blob = await openAsBlob(hold.path);
  } catch (error) {
    hold.release();
    throw error;
  }
  const body = range === undefined ? blob : blob.slice(range.startBytes, range.endBytes);
  // The file is opened when the response is sent, in the turn after this one; from then on its
  // bytes stay readable wherever its name goes.
  void setImmediate().then(() => setImmediate()).then(hold.release);
  return new Response(body, {
    status: range === undefined ? 200 : 206,
    headers: headersOf(hold, { range, tag }),
  });
}

function headersOf(hold: Hold, { range, tag }: Answer): Record<string, string> {
  const { sizeBytes } = hold.facts;
  const headers: Record<string, string> = {
    "Content-Type": "application/octet-stream",
    "Accept-Ranges": "bytes",
  };
  if (tag !== "") headers["ETag"] = tag;
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

/**
 * A ticket is for one making and, where known, one content; so may the request be. Undefined when
 * the file is another one.
 */
function tagOf(hold: Hold, claims: TicketClaims, ifMatch: string | undefined): string | undefined {
  const { digest, sizeBytes } = hold.facts;
  if (claims.digest !== "" && claims.digest !== digest) return undefined;
  if (claims.sizeBytes >= 0 && claims.sizeBytes !== sizeBytes) return undefined;
  return ifMatch === undefined ? validatorOf(hold.facts) : matchedValidator(ifMatch, hold.facts);
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
