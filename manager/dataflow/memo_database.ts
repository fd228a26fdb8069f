/**
 * The file in which results of calls are remembered: a database of SQLite.
 *
 * It has a rollback journal, as a write-ahead log needs memory that all who use the file share,
 * which hosts on a network file system do not: https://www.sqlite.org/wal.html, section 1. With
 * `synchronous = FULL` a commit has reached the disk, and so has the end of the journal, before it
 * is told of. Several flows may use one file: who writes waits for the others.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";

import { dirname } from "@std/path";

import { MEMO_ENTRY_BYTES_MAX } from "./memo_entry.ts";
import type { MemoAnswers, MemoRow } from "./memo_frame.ts";
import { fits } from "./memory_memo_store.ts";
import type { MemoFilter, MemoSummary, RememberedDigest } from "./memo_store.ts";

/** How long whoever reads or writes waits for others that write. */
const BUSY_MS_MAX = 20_000;

/** Of one answer with entries, as soon as it has as much. */
const ANSWER_BYTES_MAX: number = 16 * 1024 * 1024;

/** Rows that are looked at for one page of a list, or forgotten in one transaction. */
const PAGE_ROWS = 2_000;

/** Pages of the file that are given back in one transaction. */
const SHRINK_PAGES = 10_000;

/** Pages of the file that are kept in memory, as KiB. */
const CACHE_KIB = 16_384;

/** "TENM": tells the file from databases of others. */
const APPLICATION_ID = 0x54454e4d;

const FILE_VERSION = 1;

const TABLES = [
  `CREATE TABLE entry (row INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, app TEXT NOT NULL, ` +
  `made_at_ms REAL NOT NULL, ran_ms REAL NOT NULL, value_kind TEXT NOT NULL, ` +
  `size_bytes REAL NOT NULL, output_count INTEGER NOT NULL, call TEXT NOT NULL, ` +
  `checksum BLOB NOT NULL, body BLOB NOT NULL)`,
  `CREATE TABLE digest (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL) ` +
  `WITHOUT ROWID`,
] as const;

const COLUMNS = "row, key, app, made_at_ms, ran_ms, value_kind, size_bytes, output_count, call";

/** Bytes of SHA-256 that are stored beside an entry, so that what the disk has damaged is told. */
const CHECKSUM_BYTES = 16;

/** Codes of SQLite: https://www.sqlite.org/rescode.html. */
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** A row as it is read; whatever it may be. */
type Row = Readonly<Record<string, unknown>>;

interface Statements {
  readonly get: StatementSync;
  readonly put: StatementSync;
  readonly page: StatementSync;
  readonly one: StatementSync;
  readonly remove: StatementSync;
  readonly recall: StatementSync;
  readonly remember: StatementSync;
}

/** Owner of the connection to one file. */
export class MemoDatabase implements Disposable {
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #statements: Statements;

  /**
   * Opens the file, or makes it where `isNewAllowed`.
   *
   * @throws {Error} When it is not a memo file of this version; it is left as it is.
   */
  constructor({ path, isNewAllowed }: { readonly path: string; readonly isNewAllowed: boolean }) {
    this.#path = path;
    if (isNewAllowed) mkdirSync(dirname(path), { recursive: true });
    else if (!existsSync(path)) throw refusal("open", path, "there is none");
    try {
      this.#db = new DatabaseSync(path);
    } catch (error) {
      throw refusal("open", path, error);
    }
    try {
      this.#db.exec(`PRAGMA busy_timeout = ${BUSY_MS_MAX}; PRAGMA trusted_schema = 0;`);
      if (this.#isEmpty()) this.#make();
      this.#checkTables();
      this.#db.exec(
        `PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; PRAGMA cache_spill = OFF; ` +
          `PRAGMA cache_size = -${CACHE_KIB}; PRAGMA temp_store = MEMORY;`,
      );
      this.#statements = prepareStatements(this.#db);
    } catch (error) {
      this.#db.close();
      throw refusal("open", path, error);
    }
  }

  /** What is stored under the first of `keys`, as many as fit one answer. */
  get(keys: readonly string[]): MemoAnswers["get"] {
    return this.#do("read", () => {
      const bodies: (Uint8Array | null)[] = [];
      let [sizeBytes, damagedCount] = [0, 0];
      // One transaction: the file is locked once, and not for each.
      this.#db.exec("BEGIN");
      for (const key of keys) {
        const body = this.#getOne(key);
        if (body === "damaged") damagedCount += 1;
        const found = body instanceof Uint8Array ? body : null;
        bodies.push(found);
        sizeBytes += found?.length ?? 0;
        if (sizeBytes >= ANSWER_BYTES_MAX) break;
      }
      this.#db.exec("COMMIT");
      return { bodies, damagedCount };
    });
  }

  /** Writes all of it in one transaction. */
  write(rows: readonly MemoRow[], digests: readonly RememberedDigest[]): void {
    this.#do("write", () => {
      this.#db.exec("BEGIN IMMEDIATE");
      for (const { summary, body } of rows) {
        const { key, app, madeAtMs, ranMs, valueKind, sizeBytes, outputCount, call } = summary;
        this.#statements.put.run(
          Uint8Array.fromHex(key),
          app,
          madeAtMs,
          ranMs,
          valueKind,
          sizeBytes,
          outputCount,
          call,
          checksumOf(key, body),
          body,
        );
      }
      for (const { path, stamp, digest } of digests) {
        this.#statements.remember.run(path, stamp, digest);
      }
      this.#db.exec("COMMIT");
    });
  }

  /** A page of the entries that fit, in the order in which they were put. */
  list(filter: MemoFilter, after: number): MemoAnswers["list"] {
    return this.#do("read", () => {
      const { rows, next } = this.#page(filter, after);
      return { summaries: rows.map(([, summary]) => summary), next };
    });
  }

  /** Removes those of a page that fit, or all where the filter states nothing. */
  forget(filter: MemoFilter, after: number): MemoAnswers["forget"] {
    return this.#do("write", () => {
      this.#db.exec("BEGIN IMMEDIATE");
      if (Object.values(filter).every((one) => one === undefined)) {
        // Without a condition SQLite empties a table at once: a million rows as one.
        const { changes } = this.#db.prepare("DELETE FROM entry").run();
        this.#db.exec("COMMIT");
        return { count: Number(changes), next: null };
      }
      const { rows, next } = this.#page(filter, after);
      for (const [row] of rows) this.#statements.remove.run(row);
      this.#db.exec("COMMIT");
      return { count: rows.length, next };
    });
  }

  forgetDigests(): void {
    this.#do("write", () => this.#db.exec("DELETE FROM digest"));
  }

  /** Gives pages of the file back that nothing uses; true when there are none left. */
  shrink(): boolean {
    return this.#do("write", () => {
      this.#db.exec(`PRAGMA incremental_vacuum(${SHRINK_PAGES})`);
      return this.#number("freelist_count") === 0;
    });
  }

  recall(files: readonly Pick<RememberedDigest, "path" | "stamp">[]): (string | null)[] {
    return this.#do("read", () => {
      this.#db.exec("BEGIN");
      const found = files.map(({ path, stamp }) => {
        const digest = (this.#statements.recall.get(path, stamp) as Row | undefined)?.["digest"];
        return typeof digest === "string" ? digest : null;
      });
      this.#db.exec("COMMIT");
      return found;
    });
  }

  [Symbol.dispose](): void {
    try {
      // Takes the journal, which is empty, away.
      this.#db.exec("PRAGMA journal_mode = DELETE");
    } catch {
      // Somebody uses it, or the file cannot be written.
    }
    this.#db.close();
  }

  /** True of what nobody has written to: a file that was made just now, or is empty. */
  #isEmpty(): boolean {
    const { count } = this.#db.prepare("SELECT count(*) AS count FROM sqlite_schema").get() as Row;
    return count === 0 && this.#number("user_version") === 0;
  }

  #make(): void {
    this.#db.exec("PRAGMA auto_vacuum = INCREMENTAL; BEGIN IMMEDIATE");
    // Another flow may have been faster.
    if (this.#isEmpty()) {
      const marks = `PRAGMA application_id = ${APPLICATION_ID}; ` +
        `PRAGMA user_version = ${FILE_VERSION};`;
      this.#db.exec(`${TABLES.join("; ")}; ${marks}`);
    }
    this.#db.exec("COMMIT");
  }

  /** What stands there beside the tables of ours may run what its author wrote: nothing may. */
  #checkTables(): void {
    if (this.#number("application_id") !== APPLICATION_ID) {
      throw new Error("it is a database of something else; name another file");
    }
    const version = this.#number("user_version");
    if (version !== FILE_VERSION) {
      const found = `it is of version ${version} and this Tendril reads ${FILE_VERSION}`;
      throw new Error(`${found}; use the Tendril that wrote it, or name another file`);
    }
    const rows = this.#db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").all();
    const found = rows.map(({ sql }) => String(sql)).sort();
    const wanted = [...TABLES].sort();
    if (found.length === wanted.length && wanted.every((sql, index) => sql === found[index])) {
      return;
    }
    throw new Error("its tables are not those of a memory of results; name another file");
  }

  #number(pragma: string): number {
    return Number(Object.values(this.#db.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
  }

  #getOne(key: string): Uint8Array | "damaged" | undefined {
    let row: Row | undefined;
    try {
      row = this.#statements.get.get(MEMO_ENTRY_BYTES_MAX, Uint8Array.fromHex(key)) as
        | Row
        | undefined;
    } catch (error) {
      // A page of the file that cannot be read: the call runs again.
      if (codeOf(error) === SQLITE_CORRUPT) return "damaged";
      throw error;
    }
    if (row === undefined) return undefined;
    const { body, checksum } = row;
    const isWhole = body instanceof Uint8Array && checksum instanceof Uint8Array &&
      checksum.toHex() === checksumOf(key, body).toHex();
    return isWhole ? body : "damaged";
  }

  #page(
    filter: MemoFilter,
    after: number,
  ): { rows: (readonly [row: number, summary: MemoSummary])[]; next: number | null } {
    const { page, one } = this.#statements;
    const found = filter.key === undefined
      ? page.all(after) as Row[]
      : one.all(after, Uint8Array.fromHex(filter.key)) as Row[];
    const isLast = found.length < PAGE_ROWS;
    const rows: [number, MemoSummary][] = [];
    for (const row of found) {
      const summary = summaryOfRow(row);
      if (fits(summary, filter)) rows.push([Number(row["row"]), summary]);
    }
    return { rows, next: isLast ? null : Number(found.at(-1)?.["row"]) };
  }

  #do<Result>(verb: "read" | "write", work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      try {
        this.#db.exec("ROLLBACK");
      } catch {
        // There is no transaction, or SQLite has ended it already.
      }
      throw refusal(verb, this.#path, error);
    }
  }
}

function prepareStatements(db: DatabaseSync): Statements {
  const where = "FROM entry WHERE row > ?";
  return {
    get: db.prepare(
      "SELECT checksum, CASE WHEN length(body) <= ? THEN body END AS body FROM entry WHERE key = ?",
    ),
    put: db.prepare(
      "INSERT OR REPLACE INTO entry (key, app, made_at_ms, ran_ms, value_kind, size_bytes, " +
        "output_count, call, checksum, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ),
    page: db.prepare(`SELECT ${COLUMNS} ${where} ORDER BY row LIMIT ${PAGE_ROWS}`),
    one: db.prepare(`SELECT ${COLUMNS} ${where} AND key = ?`),
    remove: db.prepare("DELETE FROM entry WHERE row = ?"),
    recall: db.prepare("SELECT digest FROM digest WHERE path = ? AND stamp = ?"),
    remember: db.prepare("INSERT OR REPLACE INTO digest (path, stamp, digest) VALUES (?, ?, ?)"),
  };
}

/** Whatever the columns hold, it is for people to look at. */
function summaryOfRow(row: Row): MemoSummary {
  const key = row["key"];
  return {
    key: key instanceof Uint8Array ? key.toHex() : "",
    app: String(row["app"]),
    madeAtMs: Number(row["made_at_ms"]),
    ranMs: Number(row["ran_ms"]),
    valueKind: row["value_kind"] === "kept" ? "kept" : "bytes",
    sizeBytes: Number(row["size_bytes"]),
    outputCount: Number(row["output_count"]),
    call: String(row["call"]),
  };
}

function checksumOf(key: string, body: Uint8Array): Uint8Array {
  const hash = createHash("sha256").update(key).update(body).digest();
  return new Uint8Array(hash.buffer, hash.byteOffset, CHECKSUM_BYTES);
}

function codeOf(error: unknown): number {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) : 0;
  return code & 0xff;
}

function refusal(verb: string, path: string, error: unknown): Error {
  const found = error instanceof Error ? error.message : String(error);
  return new Error(`Cannot ${verb} memo file "${path}": ${found}${adviceOf(error)}`);
}

function adviceOf(error: unknown): string {
  switch (codeOf(error)) {
    case SQLITE_FULL:
      return "; what was in it is still there";
    case SQLITE_NOTADB:
      return "; name another file";
    case SQLITE_CORRUPT:
      return "; move it away to begin with an empty one";
    default:
      return "";
  }
}
