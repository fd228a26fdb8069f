/** Where a worker gets a file that the core tells it to fetch, with what it needs to be let in. */

import { readFile } from "node:fs/promises";

import type { FileId, WorkerId } from "../shared/ids.ts";
import { type FetchSource, INLINE_BYTES_MAX } from "../shared/protocol.ts";
import type { ManagerInstruction } from "./core/instruction.ts";
import type { FileEntry } from "./file_entry.ts";
import type { FileStore, ServedFile } from "./file_store.ts";
import type { Tickets } from "./tickets.ts";

/** Where a worker serves its files to others. */
export interface PeerAddress {
  /** Base urls, best first. */
  readonly urls: readonly string[];
  /** PEM, of `https:` urls: the only one to accept. */
  readonly certificate?: string;
}

/** What sources are made of. */
export interface FetchSourceOptions {
  readonly store: FileStore;
  readonly tickets: Tickets;
  readonly peerOf: (workerId: WorkerId) => PeerAddress;
}

type FetchInstruction = Extract<ManagerInstruction, { kind: "fetch" }>;

/** Why the contents cannot be read here. */
export interface FetchFailure {
  readonly kind: "failed";
  readonly message: string;
}

/** The source; a promise when a file has to be looked at, which may fail. */
export function fetchSource(
  instruction: FetchInstruction,
  options: FetchSourceOptions,
): FetchSource | Promise<FetchSource | FetchFailure> {
  const { from, order, workerId } = instruction;
  if (from.kind === "url") return from;
  if (from.kind === "worker") {
    const ticket = options.tickets.get(order, { from: from.workerId, to: workerId });
    return { ...from, ...options.peerOf(from.workerId), ticket };
  }
  return managerSource({ ...instruction, fileId: from.fileId }, options);
}

async function managerSource(
  { fileId, order, workerId }: FetchInstruction & { readonly fileId: FileId },
  { store, tickets }: FetchSourceOptions,
): Promise<FetchSource | FetchFailure> {
  const declared = store.get(fileId);
  // What was only kept may have been declared with contents since.
  const isBare = declared === undefined ||
    declared.source.kind === "kept" && declared.place === undefined;
  const entry = isBare ? store.byName(order.name) : declared;
  if (entry === undefined) return { kind: "failed", message: `File ${fileId} is not known` };
  try {
    const served = await store.openContents(entry);
    if (served === undefined || served.generation !== order.generation) {
      throw new Error(`Cannot serve file ${entry.id}: it has no contents`);
    }
    const bytes = await smallContents(served);
    if (bytes !== undefined) return { kind: "inline", bytes };
  } catch (error) {
    // A local file that changed; `openContents` has told the core.
    const message = error instanceof Error ? error.message : String(error);
    // Of what workers make, or have, this is a copy: it may be had from there again.
    if (isUsersOwn(entry)) store.fail(entry, "input_missing", message);
    return { kind: "failed", message };
  }
  return { kind: "manager", ticket: tickets.get(order, { from: "manager", to: workerId }) };
}

/** Contents that are the manager's to give, and are nowhere else. */
function isUsersOwn({ source }: FileEntry): boolean {
  return source.kind === "local" || source.kind === "buffer" || source.kind === "upload";
}

/** Contents that ride in the message; undefined for larger ones and directories. */
async function smallContents({ contents }: ServedFile): Promise<Uint8Array | undefined> {
  if (contents.kind === "bytes") {
    return contents.bytes.length <= INLINE_BYTES_MAX ? contents.bytes : undefined;
  }
  if (contents.isDirectory || contents.sizeBytes > INLINE_BYTES_MAX) return undefined;
  const bytes = await readFile(contents.path);
  if (bytes.length === contents.sizeBytes) return new Uint8Array(bytes);
  throw new Error(
    `Cannot serve file "${contents.path}": expected ${contents.sizeBytes} bytes, ` +
      `found ${bytes.length}`,
  );
}
