/** Functions of modules that are imported at run time, by their names. */

/** A module as it was imported. */
export type Namespace = Readonly<Record<string, unknown>>;

/**
 * The exported function of that name.
 *
 * @throws {TypeError} When there is none, with those that there are.
 */
export function functionOf(namespace: Namespace, name: string): (...args: unknown[]) => unknown {
  const found = Object.hasOwn(namespace, name) ? namespace[name] : undefined;
  if (typeof found === "function") return found as (...args: unknown[]) => unknown;
  const names = Object.keys(namespace).filter((key) => typeof namespace[key] === "function");
  throw new TypeError(
    `Cannot call "${name}" as a function of the library: it exports ${names.join(", ") || "none"}`,
  );
}
