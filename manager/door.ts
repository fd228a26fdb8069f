/**
 * Who may come in: handshakes under way have a number, and what is turned away is counted.
 *
 * A thousand workers that come back at once are let in; whoever holds open handshakes by the
 * thousand is not, and hurts nobody who has been accepted.
 */

import { refusal } from "../shared/runtime/request_limits.ts";
import type { SocketHandlers } from "../shared/runtime/socket.ts";
import type { Refusals } from "./refusal.ts";

/** Connections that have not been accepted yet. */
export const HANDSHAKES_MAX = 4096;

/** Seconds after which one that was turned away may come again. */
const RETRY_AFTER_S = 2;

/** Counts handshakes of all routes together. */
export class Door {
  readonly refuse: Refusals["count"];
  readonly #handshakesMax: number;
  #handshakes = 0;

  constructor(refuse: Refusals["count"], handshakesMax: number = HANDSHAKES_MAX) {
    this.refuse = refuse;
    this.#handshakesMax = handshakesMax;
  }

  /** What an upgrade is answered with: the handlers, or that there is no room. */
  admit(accept: () => SocketHandlers): SocketHandlers | Response {
    if (this.#handshakes < this.#handshakesMax) return accept();
    this.refuse("connection");
    return refusal(503, "Too many handshakes are under way", {
      "retry-after": String(RETRY_AFTER_S),
    });
  }

  /** A handshake begins; returns what is called when it ends. */
  enter(): () => void {
    this.#handshakes += 1;
    return () => void (this.#handshakes -= 1);
  }
}
