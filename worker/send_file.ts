/** Files on their way from the cache: to the manager, and to urls. */

import type { ManagerMessage, SendTarget } from "../shared/protocol.ts";
import { requestBody } from "../shared/runtime/file_body.ts";
import { pinnedFetch } from "../shared/runtime/fetch.ts";
import { ticketHeader } from "../shared/ticket.ts";
import { UrlError } from "../shared/url/request.ts";
import type { CacheStore, Hold } from "./cache_store.ts";
import type { WorkerEvent } from "./core/event.ts";
import { DownloadError } from "./download.ts";
import { MismatchError } from "./fetch_file.ts";
import { streamOf } from "../shared/stream.ts";
import type { Trees } from "./trees.ts";
import { storeAtUrl } from "./url_store.ts";
import { isFileIntact } from "./verification.ts";

type SendOrder = Extract<ManagerMessage, { kind: "send" }>;
type TicketOrder = SendOrder & { readonly ticket: string };

/** What sending works with. */
export interface SendContext {
  readonly cache: CacheStore;
  readonly trees: Trees;
  /** Base url of the manager's HTTP side; undefined while there is no connection. */
  readonly managerUrl: () => string | undefined;
  /** PEM: the only certificate accepted there; undefined when it speaks no TLS. */
  readonly managerCertificate?: () => string | undefined;
  readonly push: (event: WorkerEvent) => void;
}

/** Attempts at sending a file to the manager. */
const SEND_TRIES = 3;
const SEND_DELAY_MS = 200;

/** The manager's answer to contents that are not those that it was told of. */
const CONTENTS_DIFFER = 422;

/** Text of an answer that is read for a message. */
const ANSWER_CHARS_MAX = 200;

/** Sends a file to the manager, a few times if need be. */
export async function sendFile(
  options: SendContext,
  order: TicketOrder,
  signal: AbortSignal,
): Promise<void> {
  const { name, generation } = order;
  const hold = holdToSend(options, order);
  try {
    if (hold.isPlaced) throw new Error("an environment is of no use elsewhere");
    for (let tryCount = 1;; tryCount++) {
      try {
        return await putOnce(options, order, { hold, signal });
      } catch (error) {
        if (error instanceof DownloadError || signal.aborted) throw error;
        const isLast = tryCount >= SEND_TRIES;
        // What is damaged here need not be sent again; what was damaged on the way may.
        const isInDoubt = isLast || error instanceof MismatchError;
        if (isInDoubt && !await isFileIntact(hold, options.trees)) {
          options.push({ kind: "file_verified", name, generation, isIntact: false });
          throw new Error("it is not what it was when it came here, and is dropped");
        }
        if (isLast) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, SEND_DELAY_MS * tryCount));
    }
  } finally {
    hold.release();
  }
}

async function putOnce(
  options: SendContext,
  order: TicketOrder,
  { hold, signal }: { hold: Hold; signal: AbortSignal },
): Promise<void> {
  const base = options.managerUrl();
  if (base === undefined) throw new Error("the connection is lost");
  const { facts, path } = hold;
  const headers: Record<string, string> = {
    Authorization: ticketHeader(order.ticket),
    "Content-Type": "application/octet-stream",
    "Content-Length": String(facts.sizeBytes),
  };
  const body = facts.isDirectory
    ? streamOf(options.trees.read(path, 0))
    : await requestBody(path, facts.sizeBytes);
  const url = `${base}/files/${encodeURIComponent(order.name)}`;
  const init = { method: "PUT", headers, body, signal };
  const response = await pinnedFetch(url, init, options.managerCertificate?.());
  const text = (await response.text()).slice(0, ANSWER_CHARS_MAX);
  if (response.ok) return;
  const message = `the manager answered ${response.status} ${text}`.trimEnd();
  if (response.status === CONTENTS_DIFFER) throw new MismatchError(message);
  if (response.status >= 500) throw new Error(message);
  throw new DownloadError("refused", message);
}

/** Stores a file at a url. */
export async function storeFile(
  options: SendContext,
  { order, target, signal }: {
    readonly order: SendOrder;
    readonly target: Extract<SendTarget, { kind: "url" }>;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { name, generation } = order;
  const hold = holdToSend(options, order);
  try {
    await storeAtUrl(hold, target, { trees: options.trees, signal });
  } catch (error) {
    // It is damaged here: its task has to make it again.
    const isDamaged = error instanceof UrlError && error.kind === "wrong";
    if (isDamaged) options.push({ kind: "file_verified", name, generation, isIntact: false });
    throw error;
  } finally {
    hold.release();
  }
}

function holdToSend({ cache }: SendContext, { name, generation }: SendOrder): Hold {
  const hold = cache.hold(name, generation);
  if (hold === undefined) throw new Error("this worker has no such file");
  return hold;
}
