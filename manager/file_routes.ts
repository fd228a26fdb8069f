/**
 * `GET` and `PUT /files/:cacheName`: bytes between the manager and its workers, each transfer
 * by a ticket. A name is looked up in the table of declared files and never becomes a path.
 */

import { openAsBlob } from "node:fs";

import type { Context, Hono } from "hono";

import { checkCacheName } from "../shared/cache_name.ts";
import type { CacheName } from "../shared/ids.ts";
import { refusal } from "../shared/runtime/request_limits.ts";
import { beginTransfer, beginUpload, endUpload } from "../shared/runtime/serve.ts";
import {
  boundedBody,
  readFrom,
  type RoomServer,
  SERVE_AGAIN_S,
  ServeRoom,
} from "../shared/runtime/serve_room.ts";
import { checkTicket, readTicketHeader, type TicketClaims } from "../shared/ticket.ts";
import { matchedValidator, type NamedContents, validatorOf } from "../shared/validator.ts";
import type { DeliveryDesk } from "./delivery.ts";
import { packDirectory } from "./directory.ts";
import type { Door } from "./door.ts";
import type { RefusalKind } from "./refusal.ts";
import type { FileContents, FileStore, ServedFile } from "./file_store.ts";

/** Contents sent at the same time, by other ways than the fast path; and of these, directories. */
const STREAMS_MAX = 2048;
const TREES_MAX = 256;

/** What the routes serve from. */
export interface FileRouteOptions {
  readonly managerId: string;
  /** Key of the tickets that the manager issues for itself. */
  readonly ticketKey: Uint8Array;
  readonly store: FileStore;
  readonly desk: DeliveryDesk;
  readonly door: Pick<Door, "refuse">;
}

interface ByteRange {
  readonly startByte: number;
  /** Exclusive. */
  readonly endByte: number;
}

/** What a PUT that failed counts as; a full disk, or a file that is coming already, is no misuse. */
const REFUSED_AS: { readonly [status: number]: RefusalKind } = {
  404: "ticket",
  422: "body",
  503: "body",
};

/** What one request works with. */
interface Routes extends FileRouteOptions {
  readonly room: ServeRoom;
  readonly server: () => RoomServer;
}

/** Adds the routes to `app`, which `server` serves. */
export function addFileRoutes(
  app: Hono,
  options: FileRouteOptions,
  server: () => RoomServer,
): void {
  const room = new ServeRoom({ streamsMax: STREAMS_MAX, treesMax: TREES_MAX });
  const routes = { ...options, room, server };
  app.get("/files/:name", (context) => sendFile(context, routes));
  app.put("/files/:name", (context) => takeFile(context, routes));
}

async function sendFile(context: Context, options: Routes): Promise<Response> {
  const claims = admit(context, options, "GET");
  if (claims instanceof Response) return claims;
  beginTransfer(context);
  const served = await open(claims, options.store);
  if (served === undefined) return context.text("Cannot serve the file: it is not here", 404);
  const { contents } = served;
  const isBytes = contents.kind === "bytes";
  const sizeBytes = isBytes ? contents.bytes.length : contents.sizeBytes;
  const isDirectory = !isBytes && contents.isDirectory;
  // Of a local file, which is as it was declared, the core knows it once a worker has it.
  const digest = served.digest === "" ? claims.digest : served.digest;
  // The claims hold a name that `parseCacheName` took: it is the one in the address.
  const named = { ...served, digest, name: claims.name as CacheName, isDirectory };
  const range = rangeOf(context.req.raw.headers, { sizeBytes, named });
  if (range === "changed") return context.text("Cannot serve the file: it is another one", 412);
  if (range === "outside") {
    return context.text("Cannot serve the range: it is outside", 416, {
      "content-range": `bytes */${sizeBytes}`,
    });
  }
  const { startByte, endByte, tag } = range;
  const isPart = endByte - startByte < sizeBytes;
  const headers = new Headers({
    "content-type": "application/octet-stream",
    "content-length": String(endByte - startByte),
    "accept-ranges": tag === "" ? "none" : "bytes",
  });
  if (tag !== "") headers.set("etag", tag);
  if (isPart) headers.set("content-range", `bytes ${startByte}-${endByte - 1}/${sizeBytes}`);
  const body = await bodyOf(context, { ...options, contents, range });
  if (body === undefined) {
    options.door.refuse("connection");
    const again = { "retry-after": String(SERVE_AGAIN_S) };
    return refusal(503, "Too many transfers at once", again);
  }
  return new Response(body, { status: isPart ? 206 : 200, headers });
}

async function takeFile(context: Context, options: Routes): Promise<Response> {
  const claims = admit(context, options, "PUT");
  if (claims instanceof Response) return claims;
  // Another size than the ticket's needs no reading; chunks without a length are counted.
  const length = context.req.header("content-length");
  const { sizeBytes } = claims;
  if (length !== undefined && sizeBytes >= 0 && Number(length) !== sizeBytes) {
    options.door.refuse("body");
    return refusal(413, `Cannot take ${length} bytes: the ticket is for ${sizeBytes}`);
  }
  beginUpload(context);
  const leave = options.room.enterUpload();
  const answer = await options.desk.put(claims, context.req.raw.body).finally(leave);
  endUpload(context);
  const kind = REFUSED_AS[answer.status];
  if (kind !== undefined) options.door.refuse(kind);
  return new Response(answer.status === 204 ? null : answer.message, { status: answer.status });
}

/** The claims of the request's ticket, or the refusal. */
function admit(
  context: Context,
  options: FileRouteOptions,
  method: "GET" | "PUT",
): TicketClaims | Response {
  let name: CacheName;
  try {
    name = checkCacheName(context.req.param("name") ?? "");
  } catch {
    // Not repeated to the stranger who sent it.
    options.door.refuse("request");
    return refusal(400, "Cannot take the name as a cache name");
  }
  const ticket = readTicketHeader(context.req.header("authorization"));
  const verdict = checkTicket(options.ticketKey, ticket ?? "", {
    server: options.managerId,
    method,
    name,
    nowMs: Date.now(),
  });
  if (verdict.kind === "ok") return verdict.claims;
  options.door.refuse("ticket");
  return refusal(403, "Cannot move the file without a valid ticket");
}

async function open(claims: TicketClaims, store: FileStore): Promise<ServedFile | undefined> {
  const entry = store.byName(claims.name as CacheName);
  if (entry === undefined) return undefined;
  // Why it cannot be had went to the core; the worker only needs to know that it cannot.
  const served = await store.openContents(entry).catch(() => undefined);
  if (served === undefined || served.generation !== claims.generation) return undefined;
  return served;
}

/** What part is asked for. A part is served only of contents named by `If-Match`: RFC 9110, 13.1.1. */
function rangeOf(
  headers: Headers,
  { sizeBytes, named }: { readonly sizeBytes: number; readonly named: NamedContents },
): (ByteRange & { readonly tag: string }) | "changed" | "outside" {
  const wanted = headers.get("if-match");
  const tag = wanted === null ? validatorOf(named) : matchedValidator(wanted, named);
  if (tag === undefined) return "changed";
  const range = headers.get("range");
  if (range === null) return { startByte: 0, endByte: sizeBytes, tag };
  // Not ignored, as RFC 9110 allows: Bun would apply it to the file that the body is made of.
  if (wanted === null) return "changed";
  const match = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(range);
  if (match === null) return "outside";
  const startByte = Number(match[1]);
  const last = match[2] === "" ? sizeBytes - 1 : Number(match[2]);
  const endByte = Math.min(last + 1, sizeBytes);
  return startByte >= endByte ? "outside" : { startByte, endByte, tag };
}

/** What is sent; undefined when too much is being sent already. */
async function bodyOf(
  context: Context,
  { room, server, contents, range }: Pick<Routes, "room" | "server"> & {
    readonly contents: FileContents;
    readonly range: ByteRange;
  },
): Promise<BodyInit | undefined> {
  const { startByte, endByte } = range;
  if (contents.kind === "bytes") {
    // A plain view of the caller's own bytes; responses copy it as they go.
    return contents.bytes.subarray(startByte, endByte) as Uint8Array<ArrayBuffer>;
  }
  const { path, isDirectory, sizeBytes } = contents;
  if (!isDirectory && room.isFast(server())) {
    return (await openAsBlob(path)).slice(startByte, endByte);
  }
  const leave = room.enter({ isDirectory });
  if (leave === undefined) return undefined;
  try {
    const chunks = isDirectory
      ? await packDirectory(path, { startByte, endByte, sizeBytes })
      : readFrom(path, startByte);
    const request = context.req.raw;
    return boundedBody(chunks, { sizeBytes: endByte - startByte, request, onEnd: leave });
  } catch (error) {
    leave();
    throw error;
  }
}
