/**
 * Gives up a request whose connection does not come about, without taking a server that thinks
 * for one that cannot be reached: `fetch` does not say which of the two it waits for.
 *
 * @module
 */

import { connect } from "node:net";

import { withoutBrackets } from "../shared/addresses.ts";

/** Thrown when no connection to an address comes about. */
export class NoConnectionError extends Error {
  override readonly name = "NoConnectionError";
}

/** Watches one request. */
export class ConnectionWatch {
  readonly #timer: ReturnType<typeof setTimeout>;
  #isOver = false;

  /**
   * A request to `url` that is not over within `limitMs` has that long again to show that the
   * address takes connections at all; else `giveUp` is called.
   */
  constructor(url: string, limitMs: number, giveUp: (reason: NoConnectionError) => void) {
    this.#timer = setTimeout(async () => {
      if (await takesConnections(url, limitMs) || this.#isOver) return;
      giveUp(new NoConnectionError(`"${new URL(url).host}" takes no connection`));
    }, limitMs);
  }

  /** The request is answered, or has failed. */
  close(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }
}

/** True when the address of `url` takes a connection within `limitMs`. */
export function takesConnections(url: string, limitMs: number): Promise<boolean> {
  const { protocol, hostname, port } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({
    host: withoutBrackets(hostname),
    port: Number(port) || (protocol === "https:" ? 443 : 80),
  });
  const timer = setTimeout(() => resolve(false), limitMs);
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}
