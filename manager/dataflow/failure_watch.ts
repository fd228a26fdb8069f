/** Failures of calls that nobody has looked at: a flow tells of them at its end. */

import { DependencyError } from "./app_error.ts";

/** Failures that are kept for their messages; all are counted. */
const KEPT_MAX = 1_000;

/** The failures of one flow. */
export class FailureWatch {
  /** Of calls that failed by themselves, and that nobody saw. */
  readonly #unseen: WeakSet<Error> = new WeakSet();
  readonly #seen: WeakSet<Error> = new WeakSet();
  readonly #kept: Set<Error> = new Set();
  #count = 0;

  /** Those that nobody has looked at. */
  get count(): number {
    return this.#count;
  }

  /** The first one of them, if it is kept. */
  get first(): Error | undefined {
    const [first] = this.#kept;
    return first;
  }

  /** Notes that a call failed by itself, and not for what it depends on. */
  add(error: Error): void {
    this.#unseen.add(error);
    this.#count += 1;
    if (this.#kept.size < KEPT_MAX) this.#kept.add(error);
  }

  /** Notes that somebody saw an error, and so those that caused it. */
  lookAt(error: Error): void {
    let current: unknown = error;
    while (current instanceof Error && !this.#seen.has(current)) {
      this.#seen.add(current);
      if (this.#unseen.delete(current)) this.#count -= 1;
      this.#kept.delete(current);
      current = current instanceof DependencyError ? current.cause : undefined;
    }
  }
}
