/**
 * Results of tasks elsewhere, each when its task has ended.
 *
 * A manager takes few requests that wait. For the first tasks it is asked; of the others it is
 * looked up, now and then and for all at once, which have ended: so that a task which runs for days
 * does not keep the results of a thousand others from whoever takes them as they come.
 *
 * @module
 */

import type { TaskId } from "../shared/ids.ts";
import type { ClientConnection } from "./client.ts";
import type { ClientResult } from "./client_protocol.ts";
import { taskRows } from "./rows.ts";
import { rangesOf } from "./selector.ts";

/** Tasks that are asked for; the connection takes some more requests that wait. */
const ASKED_MAX = 32;

/** Between two looks, and as a multiple of what a look took. */
const LOOK_MS = 100;
const LOOK_SHARE = 4;

/** Ranges of one look; the tasks of the others are looked up once some of these have ended. */
const RANGES_MAX = 10_000;

/**
 * Every so many looks are at all tasks that are waited for, not only at ended ones: what is not
 * there any more ended too long ago for the manager to remember.
 */
const FULL_LOOK_EACH = 16;

/** What asks the manager. */
export type Asking = Pick<ClientConnection, "ask">;

interface Watcher {
  readonly resolve: (result: Promise<ClientResult>) => void;
  readonly reject: (error: unknown) => void;
}

/** The results of one connection. */
export class RemoteResults {
  readonly #connection: Asking;
  #lookCount = 0;
  #askedCount = 0;
  readonly #watched: Map<TaskId, Watcher> = new Map();
  #looking: ReturnType<typeof setTimeout> | undefined;

  constructor(connection: Asking) {
    this.#connection = connection;
  }

  /** The result of a task, once it has ended. */
  async of(id: TaskId): Promise<ClientResult> {
    if (this.#askedCount >= ASKED_MAX) {
      const { promise, resolve, reject } = Promise.withResolvers<ClientResult>();
      this.#watched.set(id, { resolve, reject });
      this.#plan(LOOK_MS);
      return await promise;
    }
    this.#askedCount += 1;
    try {
      return await this.#ask(id);
    } finally {
      this.#askedCount -= 1;
    }
  }

  async #ask(id: TaskId): Promise<ClientResult> {
    return (await this.#connection.ask({ kind: "result", taskId: id })).result;
  }

  #plan(ms: number): void {
    this.#looking ??= setTimeout(() => {
      const startedAtMs = performance.now();
      this.#look().then(() => {
        this.#looking = undefined;
        const tookMs = performance.now() - startedAtMs;
        if (this.#watched.size > 0) this.#plan(Math.max(LOOK_MS, LOOK_SHARE * tookMs));
      }, (error) => this.#fail(error));
    }, ms);
  }

  async #look(): Promise<void> {
    const ids = [...this.#watched.keys()].sort((a, b) => a - b);
    const ranges = rangesOf(ids).slice(0, RANGES_MAX);
    const selection = { kind: "ids" as const, ranges };
    this.#lookCount += 1;
    if (this.#lookCount % FULL_LOOK_EACH > 0) {
      const rows = await taskRows(this.#connection, { selection, states: ["done"] });
      for (const { id } of rows) this.#end(id);
      return;
    }
    const rows = await taskRows(this.#connection, { selection });
    const pending = new Set(rows.filter(({ state }) => state !== "done").map(({ id }) => id));
    const lastId = ranges.at(-1)?.[1] ?? 0;
    // Of what is forgotten, the answer says so.
    for (const id of ids) if (id <= lastId && !pending.has(id)) this.#end(id);
  }

  #end(id: TaskId): void {
    const watcher = this.#watched.get(id);
    this.#watched.delete(id);
    watcher?.resolve(this.#ask(id));
  }

  #fail(error: unknown): void {
    this.#looking = undefined;
    const watchers = [...this.#watched.values()];
    this.#watched.clear();
    for (const { reject } of watchers) reject(error);
  }
}
