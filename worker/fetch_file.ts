/**
 * Files on their way into the cache, from the manager, a peer or a url. Nothing is committed that is
 * not what was asked for.
 *
 * @module
 */

import { unreachable } from "../shared/assert.ts";
import { FILE_CONTENT_PREFIX } from "../shared/cache_name.ts";
import type { FetchSource, ManagerMessage } from "../shared/protocol.ts";
import type { FileFacts } from "../shared/task.ts";
import { ticketHeader } from "../shared/ticket.ts";
import { shownUrl } from "../shared/url/address.ts";
import { downloadUrl } from "../shared/url/download.ts";
import { UrlError } from "../shared/url/request.ts";
import { validatorOf } from "../shared/validator.ts";
import { type CacheStore, sealTree } from "./cache_store.ts";
import { download, DownloadError } from "./download.ts";
import { type Measured, measuring, writeMeasured } from "./file_sink.ts";
import { openLocalUrl } from "./local_url.ts";
import { adoptIntact, type MadeFile, RoomError } from "./make_file.ts";
import type { Part, Parts } from "./parts.ts";
import type { PeerAddresses } from "./peer_addresses.ts";
import type { Trees } from "./trees.ts";

type FetchOrder = Extract<ManagerMessage, { kind: "fetch" }>;
type UrlSource = Extract<FetchSource, { kind: "url" }>;

/** With the bytes that there is room for, where the size is not known. */
type BoundedFetch = FetchOrder & { readonly bytesMax: number };

/** What fetching works with. */
export interface FetchContext {
  readonly cache: CacheStore;
  readonly trees: Trees;
  /** Base url of the manager's HTTP side; undefined while there is no connection. */
  readonly managerUrl: () => string | undefined;
  /** PEM: the only certificate accepted there; undefined when it speaks no TLS. */
  readonly managerCertificate?: () => string | undefined;
  readonly addresses: PeerAddresses;
  readonly parts: Parts;
}

/** An address of a peer or of the manager that takes no connection for so long is given up. */
const CONNECT_MS_MAX = 2_000;

/** What arrived is not what was asked for. */
export class MismatchError extends Error {
  override readonly name = "MismatchError";
}

/** One attempt to have a file come, or several of one source. */
export interface Receiving {
  readonly part: Part;
  readonly signal: AbortSignal;
  /** Told of bytes as they come. */
  readonly count: (sizeBytes: number) => void;
}

/** A file that is kept for ever may have come to another worker of this host meanwhile. */
export async function findOrFetch(
  options: FetchContext,
  order: BoundedFetch,
  how: Receiving,
): Promise<MadeFile> {
  const { name, level, generation, digest } = order;
  const kept = level === "forever" ? await adoptIntact(options.cache, name) : undefined;
  const isSame = kept?.generation === generation && (digest === "" || kept.digest === digest);
  if (kept !== undefined && isSame) {
    options.cache.discard(how.part.path);
    return { file: kept, isFound: true };
  }
  // One that is damaged has to be gone before another takes its place.
  await options.cache.settled(name);
  const file = await fetchFile(options, order, how);
  await options.cache.settled(name);
  return { file, isFound: false };
}

async function fetchFile(
  options: FetchContext,
  order: BoundedFetch,
  how: Receiving,
): Promise<FileFacts> {
  const { source } = order;
  const { part, signal } = how;
  if (source.kind === "url") return await fetchUrl(options, { order, source }, how);
  const isResumed = part.written.sizeBytes > 0;
  const open = () => ({ ...how, chunks: openSource(options, { ...order, source }, how) });
  try {
    return await takeIn(options, order, open());
  } catch (error) {
    if (!isResumed || !(error instanceof MismatchError) || signal.aborted) throw error;
    // What the source before this one sent may be what is wrong.
    options.parts.renew(order, part);
    return await takeIn(options, order, open());
  }
}

async function fetchUrl(
  options: FetchContext,
  { order, source }: { readonly order: BoundedFetch; readonly source: UrlSource },
  how: Receiving,
): Promise<FileFacts> {
  const { part, signal } = how;
  const { url, validator = "" } = source;
  if (url.startsWith("file:")) {
    const tree = (path: string) => options.trees.read(path, 0);
    const { chunks, ...kind } = await openLocalUrl(url, { validator, tree, signal });
    return await takeIn(options, { ...order, ...kind }, { ...how, chunks });
  }
  const { progress } = part;
  const { sizeBytes, stallMs: silenceMsMax } = order;
  let isFirst = true;
  const wanted = { url, validator, sizeBytes, silenceMsMax, progress };
  return await downloadUrl(wanted, signal, async (chunks) => {
    if (!isFirst) {
      options.parts.renew(order, part);
      part.progress = progress;
    }
    isFirst = false;
    return await takeIn(options, order, { ...how, chunks });
  });
}

/** Commits what comes, if it is what was asked for. */
async function takeIn(
  options: FetchContext,
  order: BoundedFetch,
  { part, signal, count, chunks }: Receiving & { readonly chunks: AsyncIterable<Uint8Array> },
): Promise<FileFacts> {
  signal.throwIfAborted();
  const bytes = counting(chunks, {
    count,
    // What is known is checked against the order.
    bytesMax: order.sizeBytes < 0 ? order.bytesMax - part.progress.offset : Infinity,
  });
  const measured = await receive(options.trees, { order, part, chunks: bytes });
  signal.throwIfAborted();
  checkMeasured(order, measured);
  const { name, generation, level } = order;
  const file = { name, generation, ...measured, ...kindOf(order) };
  options.cache.commit(part.path, file, level);
  return file;
}

/** True of a failure of the connection, after which what has come is good. */
export function isPassing(error: unknown): boolean {
  const isKnown = error instanceof DownloadError || error instanceof UrlError;
  return isKnown && (error.kind === "broken" || error.kind === "unreachable");
}

/** The bytes of a file of the manager or a peer, in order. */
function openSource(
  options: FetchContext,
  order: FetchOrder & { readonly source: Exclude<FetchSource, UrlSource> },
  { part: { progress }, signal }: Receiving,
): AsyncIterable<Uint8Array> {
  const { source, sizeBytes, name } = order;
  const path = `/files/${encodeURIComponent(name)}`;
  const known = { sizeBytes, silenceMsMax: order.stallMs, progress };
  switch (source.kind) {
    case "inline":
      return once(source.bytes);
    case "manager": {
      const base = options.managerUrl();
      if (base === undefined) throw new DownloadError("broken", "the connection is lost");
      return download({
        urls: [base + path],
        certificate: options.managerCertificate?.(),
        connectMsMax: CONNECT_MS_MAX,
        headers: { Authorization: ticketHeader(source.ticket) },
        etag: validatorOf(order),
        ...known,
      }, signal);
    }
    case "worker": {
      const { addresses } = options;
      const { workerId } = source;
      return download({
        urls: addresses.sort(workerId, source.urls).map((base) => base + path),
        certificate: source.certificate,
        connectMsMax: CONNECT_MS_MAX,
        answered: (url) => addresses.remember(workerId, url.slice(0, -path.length)),
        headers: { Authorization: ticketHeader(source.ticket) },
        etag: validatorOf(order),
        ...known,
      }, signal);
    }
    default:
      return unreachable(source);
  }
}

/** Writes what arrives: a file, or the directory that a tar stream says. */
async function receive(
  trees: Trees,
  { order, part, chunks }: {
    readonly order: FetchOrder;
    readonly part: Part;
    readonly chunks: AsyncIterable<Uint8Array>;
  },
): Promise<Measured> {
  const { path, written } = part;
  if (!order.isDirectory) {
    return await writeMeasured(path, { chunks, isExecutable: order.isExecutable, written });
  }
  const measured = measuring(chunks);
  await trees.write(path, measured.chunks);
  await sealTree(path);
  return measured.measure();
}

/** Size always, digest when it is known. */
export function checkMeasured(order: FetchOrder, measured: Measured): void {
  const { sizeBytes, digest } = order;
  const fault = sizeBytes >= 0 && measured.sizeBytes !== sizeBytes
    ? `it has ${measured.sizeBytes} bytes where ${sizeBytes} were expected`
    : digest !== "" && measured.digest !== digest
    ? `its contents have digest ${measured.digest} where ${digest} was expected`
    : undefined;
  if (fault === undefined) return;
  if (order.source.kind !== "url") throw new MismatchError(fault);
  // Nobody need have had what is named by a digest that was stated.
  const isStated = order.name.startsWith(FILE_CONTENT_PREFIX);
  const what = isStated ? "is not what it is stated to be" : "has changed";
  const message = `"${shownUrl(order.source.url)}" ${what}: ${fault}`;
  throw new UrlError(isStated ? "wrong" : "changed", message);
}

/** What a fetched file is. */
export function kindOf(
  { isDirectory, isExecutable }: FetchOrder,
): Pick<FileFacts, "isDirectory" | "isExecutable"> {
  return { isDirectory, ...(isExecutable ? { isExecutable } : {}) };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield await Promise.resolve(bytes);
}

async function* counting(
  chunks: AsyncIterable<Uint8Array>,
  { count, bytesMax }: { count: (sizeBytes: number) => void; bytesMax: number },
): AsyncGenerator<Uint8Array, void, void> {
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    count(chunk.length);
    sizeBytes += chunk.length;
    if (sizeBytes > bytesMax) {
      throw new RoomError(
        `it has more than the ${bytesMax} bytes that this worker's disk has room for`,
      );
    }
    yield chunk;
  }
}
