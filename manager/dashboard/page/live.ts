/**
 * Follows a running manager: over its WebSocket, and by asking from time to time while that cannot
 * be opened. A manager that is gone is tried again until it is back.
 *
 * @module
 */

import type { LiveUpdate } from "../api.ts";
import { ask, RequestError } from "./client.ts";
import { readKey } from "./page_key.ts";
import { makeStore, type Store } from "./store.ts";

/** How the run is followed. */
export interface LiveState {
  readonly status:
    | "connecting"
    /** Over the WebSocket. */
    | "live"
    /** By asking from time to time. */
    | "polling"
    /** The manager does not answer. */
    | "lost"
    /** There is nothing to follow: the run is over. */
    | "record";
  /** The records hold everything up to then; grows when there is something new to ask for. */
  readonly recordedAtMs: number;
  /** The latest that the manager told. */
  readonly update: LiveUpdate | undefined;
}

/** How the run is followed. */
export const live: Store<LiveState> = makeStore<LiveState>({
  status: "connecting",
  recordedAtMs: 0,
  update: undefined,
});

/** First and longest wait before the manager is tried again. */
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;

/** After so long without a word over the WebSocket, the manager is asked whether it is there. */
const QUIET_MS_MAX = 15_000;

/** How long to wait before try number `failures`, counted from 1. */
export function retryMs(failures: number): number {
  return Math.min(RETRY_MS_MIN * 2 ** Math.max(0, failures - 1), RETRY_MS_MAX);
}

/** Follows the manager that the page came from, until it is closed. */
export class LiveLink {
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #isClosed = false;

  constructor() {
    this.#open();
  }

  /** Ends it. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  #open(): void {
    const url = new URL("live", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("message", (event) => {
      this.#failures = 0;
      this.#take(JSON.parse(String(event.data)) as LiveUpdate);
      this.#after(QUIET_MS_MAX, () => void this.#check(socket));
    });
    socket.addEventListener("open", () => {
      socket.send(new TextEncoder().encode(readKey() ?? ""));
      live.set({ ...live.get(), status: "live" });
      this.#after(QUIET_MS_MAX, () => void this.#check(socket));
    });
    socket.addEventListener("close", () => {
      if (this.#isClosed || socket !== this.#socket) return;
      this.#socket = undefined;
      this.#failures += 1;
      void this.#poll();
      this.#after(retryMs(this.#failures), () => this.#open());
    });
  }

  #take(update: LiveUpdate): void {
    const recordedAtMs = Math.max(update.recordedAtMs, live.get().recordedAtMs);
    live.set({ status: "live", recordedAtMs, update });
  }

  /** A socket may be half open, as after a night of the laptop: then it is given up. */
  async #check(socket: WebSocket): Promise<void> {
    const isThere = await isAnswering();
    if (this.#isClosed || socket !== this.#socket) return;
    if (isThere) return this.#after(QUIET_MS_MAX, () => void this.#check(socket));
    this.#socket = undefined;
    socket.close();
    live.set({ ...live.get(), status: "lost" });
    this.#failures = 1;
    this.#after(retryMs(1), () => this.#open());
  }

  async #poll(): Promise<void> {
    try {
      const { recordedAtMs } = await ask({ kind: "run" });
      if (this.#socket?.readyState === WebSocket.OPEN) return;
      live.set({ status: "polling", recordedAtMs, update: undefined });
    } catch (error) {
      if (this.#socket?.readyState === WebSocket.OPEN || !isUnreachable(error)) return;
      live.set({ ...live.get(), status: "lost" });
    }
  }

  #after(ms: number, next: () => void): void {
    clearTimeout(this.#timer);
    if (!this.#isClosed) this.#timer = setTimeout(next, ms);
  }
}

async function isAnswering(): Promise<boolean> {
  try {
    await ask({ kind: "run" });
    return true;
  } catch (error) {
    return !isUnreachable(error);
  }
}

function isUnreachable(error: unknown): boolean {
  return !(error instanceof RequestError) || error.status === 0 || error.status >= 500;
}
