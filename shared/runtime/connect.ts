/** Dials a WebSocket, on Bun or Deno, with a limit on how long that takes. */

import { type DirectInit, directInit } from "./direct.ts";
import { pin, pinFailure, type PinInit } from "./pin.ts";
import { adoptWebSocket, type Socket, type SocketHandlers } from "./socket.ts";

/** How to dial. */
export interface ConnectOptions {
  readonly handlers: SocketHandlers;
  /** Sent with the upgrade request. */
  readonly headers?: { readonly [name: string]: string };
  /** PEM: the only one accepted of a `wss:` url. */
  readonly certificate?: string | undefined;
  /** Default 10 s. */
  readonly timeoutMs?: number;
  /** Gives up dialling; an open connection is not touched. */
  readonly signal?: AbortSignal;
}

/** A dial that is not answered after this long has failed. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** Thrown when a connection cannot be opened; `found` says why, without the url. */
export class ConnectError extends Error {
  override readonly name = "ConnectError";
  readonly found: string;

  constructor(url: string, found: string) {
    super(`Cannot connect to "${url}" as a WebSocket: ${found}`);
    this.found = found;
  }
}

/** What Bun puts before what it found. */
const BUN_PREFIX = /^WebSocket connection to '[^']*' failed: /;

/** What `WebSocket` takes on both runtimes; the Web's own constructor takes protocols only. */
type Dialer = new (
  url: string,
  options: { readonly headers: { readonly [name: string]: string } } & (PinInit | DirectInit),
) => WebSocket;

/**
 * Opens a connection to `url` (`ws:` or `wss:`).
 *
 * @throws {PinError} if the server has another certificate than `certificate`.
 * @throws {ConnectError} if it cannot be opened.
 */
export async function connect(url: string, options: ConnectOptions): Promise<Socket> {
  const { certificate } = options;
  const pinned = certificate === undefined ? directInit() : pin(url, certificate, "socket");
  try {
    return await dial(url, pinned, options);
  } catch (error) {
    throw certificate === undefined ? error : pinFailure(url, error);
  }
}

function dial(
  url: string,
  pinned: PinInit | DirectInit,
  options: ConnectOptions,
): Promise<Socket> {
  const { handlers, headers = {}, timeoutMs = CONNECT_TIMEOUT_MS, signal } = options;
  const webSocket = new (WebSocket as unknown as Dialer)(url, { headers, ...pinned });
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const settle = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    webSocket.onerror = null;
  };
  const fail = (found: string): void => {
    settle();
    reject(new ConnectError(url, found.replace(BUN_PREFIX, "")));
    webSocket.close();
  };
  const abort = (): void => fail("given up");
  const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
  signal?.addEventListener("abort", abort, { once: true });
  adoptWebSocket(webSocket, {
    open: (socket) => {
      settle();
      resolve(socket);
      handlers.open?.(socket);
    },
    message: (socket, bytes) => handlers.message(socket, bytes),
    drain: (socket) => handlers.drain?.(socket),
    close: (socket, code, reason) => handlers.close(socket, code, reason),
  });
  // An error after opening is followed by `close`, which says what matters.
  webSocket.onerror = (event: Event) => {
    const { message } = event as ErrorEvent;
    fail(typeof message === "string" && message !== "" ? message : "refused");
  };
  if (signal?.aborted) abort();
  return promise;
}
