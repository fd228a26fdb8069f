/** The libraries that benches call: the same functions in each language and mode. */
import type { Library, Manager } from "tendril";

/** A library as a figure names it. */
export interface CalledLibrary {
  readonly title: string;
  declare(manager: Manager, slots: number): Library;
}

/** The functions of `called.ts`. */
const PYTHON_SOURCE = `
import os

def nothing(value):
    return value

def size(data):
    return len(data)

def spin(path):
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    while True:
        pass
`;

/** A process for each slot, of the worker's own binary. */
export const JAVASCRIPT: CalledLibrary = {
  title: "JavaScript",
  declare: (manager, slots) =>
    manager.library({
      name: "javascript",
      module: new URL("called.ts", import.meta.url),
      slots,
      cores: slots,
    }),
};

/** A process for each slot, of `python3`. */
export const PYTHON_DIRECT: CalledLibrary = pythonIn("direct");

/** A forked child for each call. */
export const PYTHON_FORK: CalledLibrary = pythonIn("fork");

function pythonIn(mode: "direct" | "fork"): CalledLibrary {
  return {
    title: `Python ${mode}`,
    declare: (manager, slots) =>
      manager.library({
        name: `python-${mode}`,
        python: PYTHON_SOURCE,
        mode,
        slots,
        cores: slots,
      }),
  };
}

/** Calls a function so often with the same arguments; waits for all ends. */
export async function callMany(
  library: Library,
  count: number,
  [name, ...args]: readonly [name: string, ...args: readonly unknown[]],
): Promise<void> {
  const calls = Array.from({ length: count }, () => library.call(name, ...args));
  for (const call of calls) await call.orThrow();
}
