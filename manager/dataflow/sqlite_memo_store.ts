/**
 * A memo store in a file of SQLite, which a child process owns: what was put is on the disk when
 * `put` resolves. All that is put while the disk is at work goes there together.
 *
 * @module
 */

import { resolve } from "@std/path";

import { selfCommand } from "../../shared/runtime/self_command.ts";
import { checkMemoKey, decodeEntry, encodeEntry, summaryOf } from "./memo_entry.ts";
import type { MemoAnswers, MemoRow } from "./memo_frame.ts";
import { MemoLane } from "./memo_lane.ts";
import { MemoProcess } from "./memo_process.ts";
import {
  checkForget,
  type MemoEntry,
  type MemoFilter,
  type MemoStore,
  type MemoSummary,
  type RememberedDigest,
} from "./memo_store.ts";

/** Name of the file where nobody says another one, in the working directory. */
export const MEMO_FILE = "tendril-memo.db";

/** What goes into one transaction at most, and what waits for one. */
const BATCH_BYTES_MAX: number = 16 * 1024 * 1024;
const BATCH_ROWS_MAX = 10_000;
const WAITING_BYTES_MAX: number = 512 * 1024 * 1024;

/** Keys and files that are asked for at a time. */
const BATCH_KEYS_MAX = 5_000;

/** What a row costs beside its bytes. */
const ROW_OVERHEAD_BYTES = 300;

/** What a memo store is opened with. */
export interface SqliteMemoStoreOptions {
  /** Default `MEMO_FILE` in the working directory. */
  readonly path?: string;
  /** Default true: a file that is not there is made. */
  readonly isNewAllowed?: boolean;
  /** Told, one line each, of what went wrong and is done again; default: nobody. */
  readonly onTrouble?: (message: string) => void;
  /** Runs `runMemoCommand`; default `selfCommand(["internal-memo"])`. */
  readonly command?: readonly string[];
  /** How long one answer of that process is waited for; default 60 s. */
  readonly answerMsMax?: number;
}

/** Results of calls in a file. */
export class SqliteMemoStore implements MemoStore {
  readonly #process: MemoProcess;
  readonly #puts: MemoLane<MemoRow | RememberedDigest, void>;
  readonly #gets: MemoLane<string, MemoEntry | undefined>;
  readonly #recalls: MemoLane<Pick<RememberedDigest, "path" | "stamp">, string | undefined>;
  #damagedCount = 0;

  private constructor(process: MemoProcess) {
    this.#process = process;
    this.#puts = new MemoLane({
      run: (items) => this.#write(items),
      sizeOf: (item) => ROW_OVERHEAD_BYTES + ("body" in item ? item.body.length : 0),
      sizeMax: BATCH_BYTES_MAX,
      countMax: BATCH_ROWS_MAX,
      waitingSizeMax: WAITING_BYTES_MAX,
      what: "results to remember",
    });
    this.#gets = new MemoLane({
      run: (keys) => this.#read(keys),
      sizeMax: Infinity,
      countMax: BATCH_KEYS_MAX,
      waitingSizeMax: Infinity,
      what: "questions for results",
    });
    this.#recalls = new MemoLane({
      run: (files) => this.#recall(files),
      sizeMax: Infinity,
      countMax: BATCH_KEYS_MAX,
      waitingSizeMax: Infinity,
      what: "questions for digests",
    });
  }

  /**
   * Opens the file, or makes it.
   *
   * @throws {Error} When it is none of this version, which leaves it as it is, or no process of
   * this program can be started.
   */
  static async open(options: SqliteMemoStoreOptions = {}): Promise<SqliteMemoStore> {
    const process = new MemoProcess({
      command: options.command ?? selfCommand(["internal-memo"]),
      path: resolve(options.path ?? MEMO_FILE),
      isNewAllowed: options.isNewAllowed ?? true,
      onTrouble: options.onTrouble ?? (() => {}),
      answerMsMax: options.answerMsMax,
    });
    try {
      await process.open();
    } catch (error) {
      await process.close();
      throw error;
    }
    return new SqliteMemoStore(process);
  }

  get damagedCount(): number {
    return this.#damagedCount;
  }

  /** Id of the process that owns the file. */
  get processId(): number | undefined {
    return this.#process.processId;
  }

  async get(keys: readonly string[]): Promise<(MemoEntry | undefined)[]> {
    keys.forEach(checkMemoKey);
    return await Promise.all(keys.map((key) => this.#gets.add(key)));
  }

  async put(entry: MemoEntry): Promise<void> {
    await this.#puts.add(rowOf(entry));
  }

  async putAll(entries: readonly MemoEntry[]): Promise<void> {
    const rows = entries.map(rowOf);
    await Promise.all(rows.map((row) => this.#puts.add(row)));
  }

  async *list(filter: MemoFilter = {}): AsyncGenerator<MemoSummary, void> {
    if (filter.key !== undefined) checkMemoKey(filter.key);
    let after: number | null = 0;
    while (after !== null) {
      const page: MemoAnswers["list"] = await this.#process.ask({ kind: "list", filter, after });
      yield* page.summaries;
      after = page.next;
    }
  }

  async forget(given: MemoFilter | "all"): Promise<number> {
    const filter = checkForget(given);
    if (filter.key !== undefined) checkMemoKey(filter.key);
    // What was put before is forgotten too.
    await this.#puts.idle();
    let forgotten = 0;
    let after: number | null = 0;
    while (after !== null) {
      const page: MemoAnswers["forget"] = await this.#process.ask({
        kind: "forget",
        filter,
        after,
      });
      forgotten += page.count;
      after = page.next;
    }
    if (given === "all") await this.#process.ask({ kind: "reset" });
    while (!await this.#process.ask({ kind: "shrink" }));
    return forgotten;
  }

  async recallDigests(
    files: readonly Pick<RememberedDigest, "path" | "stamp">[],
  ): Promise<(string | undefined)[]> {
    return await Promise.all(files.map((file) => this.#recalls.add(file)));
  }

  async rememberDigests(digests: readonly RememberedDigest[]): Promise<void> {
    await Promise.all(digests.map((digest) => this.#puts.add(digest)));
  }

  async flush(): Promise<void> {
    await this.#puts.idle();
  }

  async close(): Promise<void> {
    await Promise.all([this.#puts, this.#gets, this.#recalls].map((lane) => lane.idle()));
    await this.#process.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #write(items: readonly (MemoRow | RememberedDigest)[]): Promise<void[]> {
    const rows = items.filter((item) => "body" in item);
    const digests = items.filter((item): item is RememberedDigest => !("body" in item));
    await this.#process.ask({ kind: "write", rows, digests });
    return items.map(() => undefined);
  }

  async #recall(
    files: readonly Pick<RememberedDigest, "path" | "stamp">[],
  ): Promise<(string | undefined)[]> {
    const digests = await this.#process.ask({ kind: "recall", files });
    return digests.map((digest) => digest ?? undefined);
  }

  async #read(keys: readonly string[]): Promise<(MemoEntry | undefined)[]> {
    const { bodies, damagedCount } = await this.#process.ask({ kind: "get", keys });
    this.#damagedCount += damagedCount;
    return bodies.map((body, index) => {
      if (body === null) return undefined;
      const entry = decodeEntry(keys[index] ?? "", body);
      if (entry === undefined) this.#damagedCount += 1;
      return entry;
    });
  }
}

function rowOf(entry: MemoEntry): MemoRow {
  return { summary: summaryOf(entry), body: encodeEntry(entry) };
}
