/**
 * What the module of a library and the process that serves it know of each other: above all, what
 * the context function returned.
 *
 * That is kept under a registered symbol of the global object: the host of the library and the
 * module's own import of "tendril" may be two copies of this file.
 *
 * @module
 */

/** Name of an export that tells the host of a module to serve one call in each process. */
export const ONE_CALL_EXPORT = "tendrilOneCallPerProcess";

const CONTEXT: unique symbol = Symbol.for("tendril.libraryContext") as never;

type Holder = { [CONTEXT]?: { readonly value: unknown } };

/**
 * Returns what the context function of this library returned, awaited.
 *
 * @throws {Error} outside a library, or when the library has no context function.
 *
 * @example
 * ```ts
 * import { libraryContext } from "tendril";
 *
 * export async function setup() {
 *   return { digits: await loadDigits() };
 * }
 *
 * export function evaluate(seed: number) {
 *   const { digits } = libraryContext<typeof setup>();
 *   return digits.length * seed;
 * }
 * ```
 */
export function libraryContext<F extends (...args: never[]) => unknown>(): Awaited<ReturnType<F>> {
  const context = (globalThis as Holder)[CONTEXT];
  if (context === undefined) {
    throw new Error("Cannot read the library context here: no context function has run");
  }
  // Only the user knows what the context function returns.
  return context.value as Awaited<ReturnType<F>>;
}

/** Keeps what the context function returned. */
export function setLibraryContext(value: unknown): void {
  (globalThis as Holder)[CONTEXT] = { value };
}
