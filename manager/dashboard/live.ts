/**
 * Tells all who look at the dashboard how the run stands, over the WebSocket `/live`: looked at once
 * for all of them, and only while there are some.
 *
 * @module
 */

import { refusal } from "../../shared/runtime/request_limits.ts";
import type { Socket, SocketHandlers } from "../../shared/runtime/socket.ts";
import type { LiveUpdate } from "./api.ts";
import { TOKEN_CHARS_MAX } from "./session.ts";

/** Who looks at a time. */
export const VIEWERS_MAX = 200;

/** Between two updates. */
const UPDATE_MS = 500;

/** While nothing changes, a viewer is told so this often: it can tell a silent manager from a dead one. */
const ALIVE_MS = 10_000;

/** A viewer that has not read what it was sent is left out; after so many updates it is let go. */
const SKIPS_MAX = 120;

/** The rate is that of so long at most, and of so long at least. */
const RATE_MS_MAX = 60_000;
const RATE_MS_MIN = 2_000;

/** Time for the key of a session, which a page sends first of all. */
const KEY_MS_MAX = 10_000;

/** Code of a close on a frame that nobody wants; 4000 to 4999 are the application's. */
const CLOSE_UNWANTED = 4000;
/** Code of a close when the session is over. */
const CLOSE_SESSION = 4001;
/** Code of a close of a viewer that does not read. */
const CLOSE_SLOW = 4002;

/** How the run stands. */
export type LiveState = Omit<LiveUpdate, "kind" | "atMs" | "leftMs">;

/** What a desk is made of. */
export interface LiveDeskOptions {
  readonly look: () => LiveState;
  readonly refuse: (kind: "connection" | "frame" | "backlog" | "session") => void;
  /** Default `UPDATE_MS`. */
  readonly updateMs?: number;
}

interface Viewer {
  readonly socket: Socket;
  readonly isWelcome: () => boolean;
  skipCount: number;
}

/** All viewers of one manager. */
export class LiveDesk {
  readonly #options: LiveDeskOptions;
  readonly #updateMs: number;
  readonly #viewers: Set<Viewer> = new Set();
  /** Those that are to show a key yet, and how long they have. */
  readonly #waiting: Map<Socket, ReturnType<typeof setTimeout>> = new Map();
  #timer: ReturnType<typeof setInterval> | undefined;
  /** What was told last, without its time. */
  #told = "";
  #toldAtMs = 0;
  /** The update that was made last, and when. */
  #text = "";
  #madeAtMs = -Infinity;
  /** How many tasks had ended when, the oldest first; one a second. */
  #samples: { readonly atMs: number; readonly ended: number }[] = [];

  constructor(options: LiveDeskOptions) {
    this.#options = options;
    this.#updateMs = options.updateMs ?? UPDATE_MS;
  }

  /**
   * The manager's end of a viewer, which is let go when it is not welcome any more. With `isKey` it
   * is told nothing before its first frame holds the key.
   */
  accept(
    isWelcome: () => boolean,
    isKey?: (shown: string) => boolean,
  ): SocketHandlers | Response {
    if (this.#isFull) {
      this.#options.refuse("connection");
      return refusal(503, `No more than ${VIEWERS_MAX} viewers are served`, {
        "retry-after": "10",
      });
    }
    let viewer: Viewer | undefined;
    const enter = (socket: Socket): void => {
      viewer = { socket, isWelcome, skipCount: 0 };
      this.#enter(viewer);
    };
    return {
      open: (socket) => {
        if (this.#isFull) {
          this.#options.refuse("connection");
          return socket.close(CLOSE_SLOW, `No more than ${VIEWERS_MAX} viewers are served`);
        }
        if (isKey === undefined) return enter(socket);
        const late = setTimeout(() => this.#turnAway(socket), KEY_MS_MAX);
        late.unref?.();
        this.#waiting.set(socket, late);
      },
      message: (socket, bytes) => {
        if (isKey !== undefined && this.#waiting.has(socket)) {
          const isShort = bytes.length <= TOKEN_CHARS_MAX;
          const isRight = isShort && isKey(new TextDecoder().decode(bytes));
          if (!isRight) return this.#turnAway(socket);
          this.#forget(socket);
          return enter(socket);
        }
        this.#options.refuse("frame");
        socket.close(CLOSE_UNWANTED, "Nothing is taken here");
      },
      close: (socket) => {
        this.#forget(socket);
        if (viewer !== undefined) this.#leave(viewer);
      },
    };
  }

  /** Lets all viewers go. */
  close(): void {
    for (const viewer of this.#viewers) {
      viewer.socket.close(CLOSE_UNWANTED, "The manager is closing");
      this.#leave(viewer);
    }
    for (const socket of [...this.#waiting.keys()]) {
      this.#forget(socket);
      socket.close(CLOSE_UNWANTED, "The manager is closing");
    }
  }

  get #isFull(): boolean {
    return this.#viewers.size + this.#waiting.size >= VIEWERS_MAX;
  }

  #forget(socket: Socket): void {
    clearTimeout(this.#waiting.get(socket));
    this.#waiting.delete(socket);
  }

  #turnAway(socket: Socket): void {
    this.#forget(socket);
    this.#options.refuse("session");
    socket.close(CLOSE_SESSION, "The key of the session is not shown");
  }

  #enter(viewer: Viewer): void {
    this.#viewers.add(viewer);
    if (this.#timer === undefined) {
      this.#samples = [];
      this.#timer = setInterval(() => this.#tick(), this.#updateMs);
      // Whoever looks on does not keep a workflow from ending.
      this.#timer.unref?.();
    }
    if (performance.now() - this.#madeAtMs >= this.#updateMs) this.#make();
    viewer.socket.send(this.#text);
  }

  #leave(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    if (this.#viewers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    for (const viewer of this.#viewers) {
      if (viewer.isWelcome()) continue;
      viewer.socket.close(CLOSE_SESSION, "The session is over");
      this.#leave(viewer);
    }
    const state = this.#make();
    const isAlive = performance.now() - this.#toldAtMs < ALIVE_MS;
    if (state === this.#told && isAlive) return;
    this.#told = state;
    this.#toldAtMs = performance.now();
    for (const viewer of this.#viewers) this.#tell(viewer);
  }

  #tell(viewer: Viewer): void {
    const { socket } = viewer;
    if (socket.bufferedBytes === 0) {
      viewer.skipCount = 0;
      return void socket.send(this.#text);
    }
    viewer.skipCount += 1;
    if (viewer.skipCount < SKIPS_MAX) return;
    this.#options.refuse("backlog");
    socket.close(CLOSE_SLOW, "What is sent is not read");
    this.#leave(viewer);
  }

  /** Looks at the run; returns what there is to tell of it, without its time. */
  #make(): string {
    const state = this.#options.look();
    const nowMs = performance.now();
    this.#madeAtMs = nowMs;
    const leftMs = this.#leftMs(state, nowMs);
    const update: LiveUpdate = { kind: "update", atMs: Date.now(), ...state, leftMs };
    this.#text = JSON.stringify(update);
    return JSON.stringify(state);
  }

  #leftMs({ counts }: LiveState, nowMs: number): number | null {
    const ended = counts.succeeded + counts.failed + counts.cancelled;
    const left = counts.submitted - ended;
    const samples = this.#samples;
    const lastAtMs = samples.at(-1)?.atMs ?? -Infinity;
    if (nowMs - lastAtMs >= 1_000) samples.push({ atMs: nowMs, ended });
    while (nowMs - (samples[0]?.atMs ?? nowMs) > RATE_MS_MAX) samples.shift();
    if (left === 0) return counts.submitted > 0 ? 0 : null;
    const [first] = samples;
    if (first === undefined || nowMs - first.atMs < RATE_MS_MIN || ended <= first.ended) {
      return null;
    }
    return Math.round(left * (nowMs - first.atMs) / (ended - first.ended));
  }
}
