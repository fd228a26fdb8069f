/** The functions that benches of calls call in JavaScript. */
import { renameSync, writeFileSync } from "node:fs";
import process from "node:process";

/** Returns what it is given. */
export function nothing<T>(value: T): T {
  return value;
}

/** Returns how many bytes it was given. */
export function size(bytes: Uint8Array): number {
  return bytes.length;
}

/** Leaves the id of its process there, and never returns. */
export function spin(path: string): never {
  writeFileSync(`${path}.new`, String(process.pid));
  renameSync(`${path}.new`, path);
  for (;;);
}
