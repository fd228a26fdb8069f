/** The terminal that a script writes to while Tendril draws a line on it. */

import process from "node:process";

/** Ways of the console to write; the runtime does not pass them through the streams. */
const CONSOLE_METHODS = ["log", "info", "warn", "error", "debug", "table", "dir", "trace"] as const;

/** What is drawn on: as `process.stderr`, but not subject to `beforeOutput`. */
export interface Terminal {
  readonly isTTY: boolean;
  /** Undefined when it is not told. */
  readonly columns: number | undefined;
  write(text: string): unknown;
}

/** Standard error. */
export function standardError(): Terminal {
  const write = process.stderr.write.bind(process.stderr);
  return {
    isTTY: process.stderr.isTTY === true,
    // A terminal may say 0.
    get columns() {
      return process.stderr.columns || undefined;
    },
    write: (text) => write(text),
  };
}

/**
 * Calls `clear` each time before something else of this process is written, so that it does not
 * run into what is drawn; returns how to stop.
 */
export function beforeOutput(clear: () => void): () => void {
  const undo: (() => void)[] = [];
  const clearBefore = <O extends object, K extends keyof O>(owner: O, name: K): void => {
    const original = owner[name];
    if (typeof original !== "function") return;
    const write = (...args: unknown[]): unknown => {
      clear();
      return original.apply(owner, args);
    };
    Object.assign(owner, { [name]: write });
    undo.push(() => void (owner[name] = original));
  };
  const { console } = globalThis;
  for (const method of CONSOLE_METHODS) clearBefore(console, method);
  for (const stream of [process.stdout, process.stderr]) clearBefore(stream, "write");
  return () => undo.forEach((restore) => restore());
}
