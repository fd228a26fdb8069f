/** Files whose names are being found: a few at a time, as each may be one that is read and hashed. */

/** A queue of work of which so much is done at a time. */
export class BindQueue {
  readonly #atOnceMax: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #runningCount = 0;

  constructor(atOnceMax: number) {
    this.#atOnceMax = atOnceMax;
  }

  /** Has `run` called when it is its turn; it must not fail. */
  add(run: () => Promise<void>): void {
    this.#waiting.push(run);
    this.#fill();
  }

  /** Begins nothing any more. */
  close(): void {
    this.#waiting.length = 0;
  }

  #fill(): void {
    while (this.#runningCount < this.#atOnceMax) {
      const run = this.#waiting.shift();
      if (run === undefined) return;
      this.#runningCount += 1;
      run().finally(() => {
        this.#runningCount -= 1;
        this.#fill();
      });
    }
  }
}
