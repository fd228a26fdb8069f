/** Lines of the transactions log about categories: when they are declared, and when first used. */

import type { RecordOf, RequestedAmounts } from "./record.ts";
import type { WriteTransaction } from "./transactions_log.ts";
import { amountsJson, oneWord } from "./vine_format.ts";

/** Categories that are remembered; those beyond are told of each time they are declared. */
const CATEGORIES_MAX = 10_000;

interface Category {
  readonly mode: string;
  readonly max: RequestedAmounts;
  readonly min: RequestedAmounts;
  readonly first: RequestedAmounts;
}

/** What nothing is said of. */
const PLAIN: Category = { mode: "fixed", max: {}, min: {}, first: {} };

/** The categories of one run. */
export class TransactionCategories {
  readonly #write: WriteTransaction;
  readonly #known: Map<string, Category> = new Map();

  constructor(write: WriteTransaction) {
    this.#write = write;
  }

  /** Something is said of a category. */
  declare(atMs: number, record: RecordOf<"category_declared">): void {
    const { name, mode, max, min, first } = record;
    const before = this.#known.get(name) ?? PLAIN;
    this.#tell(atMs, name, {
      mode: mode ?? before.mode,
      max: max ?? before.max,
      min: min ?? before.min,
      first: first ?? before.first,
    });
  }

  /** A task of the category has come back. */
  use(atMs: number, name: string): void {
    if (!this.#known.has(name) && this.#known.size < CATEGORIES_MAX) this.#tell(atMs, name, PLAIN);
  }

  #tell(atMs: number, name: string, category: Category): void {
    if (this.#known.has(name) || this.#known.size < CATEGORIES_MAX) this.#known.set(name, category);
    const { mode, max, min, first } = category;
    const start = `CATEGORY ${oneWord(name)}`;
    this.#write(atMs, `${start} MAX ${limitsJson(max)}`);
    this.#write(atMs, `${start} MIN ${limitsJson(min)}`);
    this.#write(atMs, `${start} FIRST ${mode.toUpperCase()} ${limitsJson(first)}`);
  }
}

function limitsJson({ memoryBytes, diskBytes, gpus, cores }: RequestedAmounts): string {
  return amountsJson({ memoryBytes, diskBytes, gpus, cores });
}
