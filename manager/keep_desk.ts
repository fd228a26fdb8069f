/**
 * Where scripts have files kept, and ask which of those that an earlier workflow had kept are there.
 * The core decides and knows; here are the promises.
 *
 * @module
 */

import type { FileId } from "../shared/ids.ts";
import type { FileFacts, LastingLevel } from "../shared/task.ts";
import type { ManagerInstruction } from "./core/instruction.ts";
import type { ManagerState } from "./core/state.ts";
import type { Engine } from "./engine.ts";
import type { FileEntry } from "./file_entry.ts";
import { type KeptFile, keptFileOf } from "./kept_file.ts";

/** What happens within so long is looked at once. */
const LOOK_MS = 10;

/** What the desk works with. */
export interface KeepDeskOptions {
  readonly state: ManagerState;
  readonly engine: Pick<Engine, "push" | "subscribe" | "watchSteps" | "nowMs">;
}

interface Keep {
  readonly resolve: (file: FileFacts) => void;
  readonly reject: (error: Error) => void;
}

/** Some files that are looked for. */
interface Search {
  readonly found: Set<FileId>;
  /** Nobody knows yet. */
  readonly open: Set<FileId>;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly resolve: (found: ReadonlySet<FileId>) => void;
}

/** Where a kept file stands: `doubtful` while its worker looks at its bytes. */
type Standing = "there" | "doubtful" | "missing";

/** The wishes and searches that are under way. */
export class KeepDesk {
  readonly #options: KeepDeskOptions;
  readonly #keeps: Map<number, Keep> = new Map();
  readonly #searches: Set<Search> = new Set();
  #lastRequestId = 0;
  /** When the first worker was there; Infinity before that. */
  #joinedAtMs = Infinity;
  #joining: ReturnType<typeof setTimeout> | undefined;
  #look: ReturnType<typeof setTimeout> | undefined;

  constructor(options: KeepDeskOptions) {
    this.#options = options;
    const { engine } = options;
    const stop = engine.subscribe((facts, atMs) => {
      if (!facts.some(({ kind }) => kind === "worker_joined")) return;
      this.#joinedAtMs = atMs;
      stop();
      // Others may join a moment after the first, as they do after a break: those who wait for one
      // of them know then.
      this.#joining = setTimeout(() => this.#lookSoon(), this.#graceMs);
    });
    engine.watchSteps(() => this.#lookSoon());
  }

  /** Has workers keep a file; rejects when none could. */
  async keep({ id, role }: Pick<FileEntry, "id" | "role">, level: LastingLevel): Promise<KeptFile> {
    if (role === "unused") throw new Error(`Cannot keep file ${id}: no task makes it`);
    const { promise, resolve, reject } = Promise.withResolvers<FileFacts>();
    this.#lastRequestId += 1;
    const requestId = this.#lastRequestId;
    this.#keeps.set(requestId, { resolve, reject });
    this.#options.engine.push({ kind: "file_keep_wanted", fileId: id, requestId, level });
    return keptFileOf(await promise);
  }

  /** Answers a wish. */
  answer(
    { requestId, file, message }: Extract<ManagerInstruction, { kind: "file_kept" }>,
  ): void {
    const keep = this.#keeps.get(requestId);
    this.#keeps.delete(requestId);
    if (file === undefined) keep?.reject(new Error(message));
    else keep?.resolve(file);
  }

  /** Which of the files some worker has, as soon as that is known, or when time is up. */
  find(ids: readonly FileId[], timeoutMs: number): Promise<ReadonlySet<FileId>> {
    const { promise, resolve } = Promise.withResolvers<ReadonlySet<FileId>>();
    const search: Search = {
      found: new Set(),
      open: new Set(ids),
      timer: setTimeout(() => this.#end(search), timeoutMs),
      resolve,
    };
    this.#searches.add(search);
    this.#lookSoon();
    return promise;
  }

  /** The manager is closed: nothing is kept any more, and nothing found. */
  close(): void {
    for (const { reject } of this.#keeps.values()) {
      reject(new Error("Cannot keep the file: the manager was closed"));
    }
    this.#keeps.clear();
    for (const search of [...this.#searches]) this.#end(search);
    clearTimeout(this.#joining);
    clearTimeout(this.#look);
  }

  get #graceMs(): number {
    return this.#options.state.policies.reconnectGraceMs;
  }

  #lookSoon(): void {
    if (this.#searches.size === 0 || this.#look !== undefined) return;
    this.#look = setTimeout(() => {
      this.#look = undefined;
      this.#lookAtAll();
    }, LOOK_MS);
  }

  #lookAtAll(): void {
    const { state, engine } = this.#options;
    const haveJoined = engine.nowMs() >= this.#joinedAtMs + this.#graceMs;
    for (const search of [...this.#searches]) {
      for (const id of search.open) {
        const standing = standingOf(state, id);
        if (standing === "there") search.found.add(id);
        if (standing === "there" || standing === "missing" && haveJoined) search.open.delete(id);
      }
      if (search.open.size === 0) this.#end(search);
    }
  }

  /** What is looked at for so long is there, as far as anybody knows. */
  #end(search: Search): void {
    clearTimeout(search.timer);
    this.#searches.delete(search);
    for (const id of search.open) {
      if (standingOf(this.#options.state, id) === "doubtful") search.found.add(id);
    }
    search.resolve(search.found);
  }
}

function standingOf({ files }: ManagerState, id: FileId): Standing {
  const file = files.get(id);
  if (file === undefined || !file.isAvailable) return "missing";
  // The manager has it, or a url.
  if (file.readyCount === 0) return "there";
  for (const { state, isSuspect } of file.replicas.values()) {
    if (state === "ready" && !isSuspect) return "there";
  }
  return "doubtful";
}
