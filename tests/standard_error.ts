/** What is written to standard error in the meantime, kept from the output of the tests. */

import process from "node:process";

/** Catches standard error from here until it is disposed of. */
export class StandardError implements Disposable {
  /** All of it. */
  text = "";
  readonly #write: typeof process.stderr.write = process.stderr.write;

  constructor() {
    process.stderr.write = (chunk: Uint8Array | string): boolean => {
      this.text += typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
      return true;
    };
  }

  [Symbol.dispose](): void {
    process.stderr.write = this.#write;
  }
}
