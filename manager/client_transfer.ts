/** Contents of files between a client and its manager: by HTTP, with the ticket that it was given. */

import { createHash, randomBytes } from "node:crypto";
import { mkdir, rm, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import { dirname } from "@std/path";

import { hashFile } from "../shared/archive/digest.ts";
import { hashPack, openPackStream, planPack } from "../shared/archive/pack.ts";
import { replace, ReplaceError } from "../shared/replace.ts";
import { requestBody } from "../shared/runtime/file_body.ts";
import { pinnedFetch } from "../shared/runtime/fetch.ts";
import { ticketHeader } from "../shared/ticket.ts";
import type { ClientConnection } from "./client.ts";
import { ClientError } from "./client_error.ts";
import type { FileTicket } from "./client_protocol.ts";
import { checkContents, ContentsError, writeFile } from "./delivery.ts";
import { unpackDirectory } from "./directory.ts";

/** Contents that a client has. */
export interface Contents {
  /** What they are in messages. */
  readonly what: string;
  readonly sizeBytes: number;
  /** SHA-256 in hexadecimal; of a directory, of its canonical tar stream. */
  readonly digest: string;
  readonly isDirectory: boolean;
  readonly isExecutable: boolean;
  /** A body of a request with all of them; to be had more than once. */
  open(): Promise<BodyInit>;
}

/** Requests for one transfer, when connections break. */
const TRIES_MAX = 4;

/** Before the second of them; each later one waits as much longer. */
const TRY_DELAY_MS = 250;

/** What is shown of an answer in an error. */
const ANSWER_CHARS_MAX = 300;

/** Bytes of the script. */
export function bytesContents(bytes: Uint8Array): Contents {
  return {
    what: `${bytes.length} bytes`,
    sizeBytes: bytes.length,
    digest: createHash("sha256").update(bytes).digest("hex"),
    isDirectory: false,
    isExecutable: false,
    open: () => Promise.resolve(bytes as Uint8Array<ArrayBuffer>),
  };
}

/** The file or directory at `path`, read once to know its digest. */
export async function pathContents(path: string): Promise<Contents> {
  const what = `"${path}"`;
  let found;
  try {
    found = await stat(path);
  } catch (error) {
    throw new Error(`Cannot read file ${what}: ${messageOf(error)}`, { cause: error });
  }
  if (found.isDirectory()) {
    const plan = await planPack(path);
    return {
      what,
      sizeBytes: plan.sizeBytes,
      digest: await hashPack(plan),
      isDirectory: true,
      isExecutable: false,
      open: () => Promise.resolve(openPackStream(plan)),
    };
  }
  if (!found.isFile()) {
    throw new TypeError(`Cannot send ${what} as a file: it is neither a file nor a directory`);
  }
  const { sizeBytes, sha256 } = await hashFile(path);
  return {
    what,
    sizeBytes,
    digest: sha256,
    isDirectory: false,
    isExecutable: (found.mode & 0o100) !== 0,
    open: () => requestBody(path, sizeBytes),
  };
}

/** Sends contents to the manager, which checks them. */
export async function sendContents(
  connection: ClientConnection,
  ticket: FileTicket,
  contents: Contents,
): Promise<void> {
  await withTries(`send ${contents.what} to`, connection, async () => {
    // The length tells a server that takes less than all that it was cut short.
    const headers = { "content-length": String(contents.sizeBytes) };
    const body = await contents.open();
    await request(connection, ticket, { method: "PUT", headers, body });
  });
}

/** The contents, in memory. */
export async function readContents(
  connection: ClientConnection,
  ticket: FileTicket,
): Promise<Uint8Array> {
  return await withTries(`read file ${ticket.name} of`, connection, async () => {
    const response = await request(connection, ticket, { method: "GET" });
    const parts: Uint8Array[] = [];
    for await (const part of checked(response, ticket)) parts.push(part);
    const bytes = new Uint8Array(ticket.sizeBytes);
    let atByte = 0;
    for (const part of parts) {
      bytes.set(part, atByte);
      atByte += part.length;
    }
    return bytes;
  });
}

/** Writes the contents to `path`, whole or not at all; `mode` of a file, if it is to have one. */
export async function saveContents(
  connection: ClientConnection,
  ticket: FileTicket,
  { path, mode }: { readonly path: string; readonly mode: number | undefined },
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await withTries(`fetch "${path}" of`, connection, async () => {
    const temporary = `${path}.tendril-${randomBytes(6).toString("hex")}`;
    const response = await request(connection, ticket, { method: "GET" });
    try {
      const chunks = checked(response, ticket);
      if (ticket.isDirectory) await unpackDirectory(chunks, temporary);
      else await writeFile(temporary, { chunks, mode });
      await replace(temporary, path);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  });
}

/** The bytes of a response; fails when they are not those that the ticket tells of. */
function checked(response: Response, ticket: FileTicket): AsyncIterable<Uint8Array> {
  return checkContents(response.body ?? [], ticket, new AbortController().signal);
}

async function request(
  connection: ClientConnection,
  { name, ticket }: FileTicket,
  init: RequestInit,
): Promise<Response> {
  const url = `${connection.url}/files/${encodeURIComponent(name)}`;
  const headers = { ...init.headers, Authorization: ticketHeader(ticket) };
  const response = await pinnedFetch(url, { ...init, headers }, connection.certificate);
  if (response.ok) return response;
  const text = (await response.text()).slice(0, ANSWER_CHARS_MAX).trim();
  const message = `the manager answered ${response.status}${text === "" ? "" : `: ${text}`}`;
  if (response.status >= 500) throw new Error(message);
  throw new ClientError("failed", message);
}

/** Tries again what a broken connection ended. */
async function withTries<T>(
  what: string,
  connection: ClientConnection,
  once: () => Promise<T>,
): Promise<T> {
  for (let tryCount = 1;; tryCount += 1) {
    try {
      return await once();
    } catch (error) {
      // The disk of this host, and what was refused, are the same the next time.
      const isFinal = error instanceof ClientError || error instanceof ContentsError ||
        error instanceof ReplaceError || isOwn(error);
      if (isFinal || tryCount >= TRIES_MAX) {
        const message = `Cannot ${what} manager "${connection.name}": ${messageOf(error)}`;
        throw new ClientError("failed", message, { cause: error });
      }
    }
    await delay(TRY_DELAY_MS * tryCount);
  }
}

const OWN_CODES: readonly unknown[] = ["ENOSPC", "EACCES", "ENOENT", "EROFS", "EDQUOT", "ENOTDIR"];

function isOwn(error: unknown): boolean {
  return error instanceof Error && "code" in error && OWN_CODES.includes(error.code);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
