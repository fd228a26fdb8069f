/**
 * The calls of the C library that neither runtime offers, on Linux and Bun only: a worker is always
 * one of its binaries, and a manager on Deno goes without.
 *
 * @module
 */

/** The calls; each returns what the manual page of its name says. */
export interface LibraryC {
  readonly prctl: (option: number, a: number, b: number, c: number, d: number) => number;
  /** `use` is a `struct rusage`: 18 longs, as seconds and microseconds of user and system time first. */
  readonly wait4: (
    processId: number,
    status: null,
    options: number,
    use: BigInt64Array,
  ) => number;
  /** `limits` is the soft and the hard one. */
  readonly getrlimit: (resource: number, limits: BigUint64Array) => number;
  readonly setrlimit: (resource: number, limits: BigUint64Array) => number;
  /** Of the thread that calls, with process id 0; bit N of the mask is processor N. */
  readonly "sched_getaffinity": (processId: number, bytes: number, mask: Uint8Array) => number;
  readonly "sched_setaffinity": (processId: number, bytes: number, mask: Uint8Array) => number;
}

interface ForeignModule {
  dlopen(
    name: string,
    symbols: { readonly [name: string]: { readonly args: string[]; readonly returns: string } },
  ): { readonly symbols: unknown };
}

/** Names of the C library: glibc's, then musl's. */
const LIBRARY_NAMES: readonly string[] = [
  "libc.so.6",
  "libc.musl-x86_64.so.1",
  "libc.musl-aarch64.so.1",
];

let opened: Promise<LibraryC | undefined> | undefined;

/** Opens the C library once; undefined where the system or the runtime cannot. */
export function openLibraryC(): Promise<LibraryC | undefined> {
  return opened ??= open();
}

async function open(): Promise<LibraryC | undefined> {
  if (process.platform !== "linux" || !("Bun" in globalThis)) return undefined;
  // A name that is no literal, so that no bundler and no type check follows it.
  const moduleName = "bun:ffi";
  for (const name of LIBRARY_NAMES) {
    try {
      const foreign: ForeignModule = await import(moduleName);
      const { symbols } = foreign.dlopen(name, {
        prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
        wait4: { args: ["i32", "ptr", "i32", "ptr"], returns: "i32" },
        getrlimit: { args: ["i32", "ptr"], returns: "i32" },
        setrlimit: { args: ["i32", "ptr"], returns: "i32" },
        "sched_getaffinity": { args: ["i32", "u64", "ptr"], returns: "i32" },
        "sched_setaffinity": { args: ["i32", "u64", "ptr"], returns: "i32" },
      });
      return symbols as LibraryC;
    } catch {
      // Not this C library, or no foreign calls at all: the next name, then none.
    }
  }
  return undefined;
}
