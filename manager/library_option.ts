/** A library as scripts describe it, checked. */

import {
  type FunctionContext,
  functionsModule,
  type NamedFunctions,
} from "../shared/function_source.ts";
import { LIBRARY_MODES, type LibraryMode, NO_ARGUMENTS } from "../shared/library.ts";
import { VALUE_BYTES_MAX } from "../shared/protocol.ts";
import { encodeArguments } from "../shared/value.ts";
import { checkName } from "./call_arguments.ts";
import { codePaths, isSourceText } from "./code_path.ts";
import type { FileEntry } from "./file_entry.ts";
import { FileHandle } from "./file_handle.ts";
import type { FileStore } from "./file_store.ts";
import type { CheckedMount, InputMountOption } from "./mount_option.ts";
import {
  count,
  flag,
  oneOf,
  type Reader,
  type Readers,
  readOptions,
  show,
  text,
} from "./option.ts";
import { findPython, type PythonModule } from "./python_module.ts";
import { functionContext } from "./run_option.ts";
import {
  type CheckedProcess,
  checkLength,
  checkProcess,
  mounts,
  mountsOf,
  PROCESS_READERS,
  type ProcessOptions,
} from "./task_definition.ts";
import { TaskHandle } from "./task_handle.ts";

/** Calls served at the same time by one instance, at most. */
const SLOTS_MAX = 1024;

/** Instances kept running, at most. */
const INSTANCES_MAX = 100_000;

/** What can be said of code alone, and not of a command. */
const OF_CODE = ["context", "contextArguments", "from"] as const;

/** Characters of the name of a library that the place of its source text has. */
const PLACE_CHARS_MAX = 100;

/**
 * Code kept running at workers: exactly one of `functions`, `module`, `python` and `command`. What it
 * is given beside is what each instance of it has.
 *
 * @example
 * ```ts
 * manager.library({ name: "shapes", functions: { area: (w: number, h: number) => w * h } });
 * manager.library({ name: "digits", module: "./digits.ts", context: "setup", slots: 2 });
 * manager.library({ name: "model", python: "model.py", context: "load", mode: "fork", slots: 4 });
 * manager.library({ name: "area", python: "def area(width, height):\n  return width * height\n" });
 * manager.library({ name: "any", command: "./server", inputs: { server: manager.file("server") } });
 * ```
 */
export interface LibraryOptions extends ProcessOptions {
  /** Unique within the manager. */
  readonly name: string;
  /**
   * Functions that travel as their source, as `manager.run` ships one, each called by its name here;
   * they may use each other by these names. What one imports it imports itself: `await
   * import("node:fs/promises")`.
   */
  readonly functions?: NamedFunctions;
  /**
   * Of `functions`: what they use by name beside their arguments, plain values and functions, which
   * may use the others. Each process has its own, and keeps what calls change in them.
   */
  readonly values?: FunctionContext;
  /**
   * The path of a file of JavaScript or TypeScript; or source text of such a module, which has a line
   * break. It is bundled with what it imports, text as if it were a file beside `from`.
   */
  readonly module?: string | URL;
  /**
   * The path of a `.py` file, imported by its name; that of a package, a directory with an
   * `__init__.py`; or source text, which has a line break. It is served by the `python3` of the
   * environment, else of the worker: 3.8 or later.
   */
  readonly python?: string | URL;
  /** A program that speaks the call protocol, run by `/bin/sh -c`. */
  readonly command?: string;
  /**
   * What a relative `module` or `python` starts from: `import.meta.url`. Default: the folder of the
   * running script, else the working directory.
   */
  readonly from?: string | URL;
  /**
   * Name of the function that runs once when a process of an instance starts; what it returns is kept
   * for the calls: `libraryContext()` of "tendril", or `tendril.context` in Python.
   */
  readonly context?: string;
  /** What the context function is given: plain values, or files, which arrive as absolute paths. */
  readonly contextArguments?: readonly unknown[];
  /** Calls served at the same time by one instance. Default 1. */
  readonly slots?: number;
  /**
   * `"direct"`: an instance has a process for each slot, which serves one call at a time, and keeps
   * what calls change. `"fork"`, not of a module: it has one process, which forks a child for each
   * call; what a call changes is gone with it. Default `"direct"`.
   */
  readonly mode?: LibraryMode;
  /**
   * Instances that are started ahead of calls and kept while there are none, where there is room.
   * Default 0.
   */
  readonly instances?: number;
  /**
   * In Python alone: what is no value in a result travels as pickle, a `Pickle` here, which later
   * calls take as an argument. Default false.
   */
  readonly pickle?: boolean;
  /** Mount name: file that each process finds under that name in its working directory. */
  readonly inputs?: { readonly [mount: string]: InputMountOption };
}

/** The code of a library before it is shipped. */
export type LibraryCode =
  | { readonly kind: "javascript"; readonly module: string | URL; readonly from?: string | URL }
  /** `path` is where it might be a file, absolute. */
  | { readonly kind: "javascript_text"; readonly text: string; readonly path: string }
  /** `text` is of a module that needs no bundling. */
  | { readonly kind: "functions"; readonly text: string }
  | { readonly kind: "python"; readonly module: PythonModule; readonly isPickling: boolean }
  | { readonly kind: "command"; readonly command: string };

/** What an instance has beside its code. */
export interface CheckedInstance extends CheckedProcess {
  readonly name: string;
  readonly mode: LibraryMode;
  /** Empty when there is none. */
  readonly context: string;
  /** Encoded; the index of a file is that in `files`. */
  readonly contextArguments: Uint8Array;
  /** Those among the arguments. */
  readonly files: readonly FileEntry[];
  readonly slots: number;
  readonly instanceCount: number;
  readonly inputs: readonly CheckedMount[];
}

/** Checked options of a library. */
export interface CheckedLibrary extends CheckedInstance {
  readonly code: LibraryCode;
}

/** A library of functions by value; its calls are checked against them. */
export interface FunctionLibraryOptions<Functions extends NamedFunctions> extends LibraryOptions {
  /** See `LibraryOptions.functions`. */
  readonly functions: Functions;
}

type Given = Partial<Required<LibraryOptions>>;

const pathOption: Reader<string | URL> = (value, what) => {
  if (value instanceof URL || (typeof value === "string" && value !== "")) return value;
  throw new TypeError(`Cannot take ${what} "${show(value)}" as a module: expected a path`);
};

const list: Reader<readonly unknown[]> = (value, what) => {
  if (Array.isArray(value)) return value;
  throw new TypeError(`Cannot take ${what} "${show(value)}" as arguments: expected an array`);
};

const READERS: Readers<LibraryOptions> = {
  name: text,
  // What is not a function is refused by its name when the module of them is made.
  functions: (value, what) => functionContext(value, what) as NamedFunctions,
  values: functionContext,
  module: pathOption,
  python: pathOption,
  command: text,
  from: pathOption,
  context: text,
  contextArguments: list,
  slots: count(1, SLOTS_MAX),
  mode: oneOf(...LIBRARY_MODES),
  instances: count(0, INSTANCES_MAX),
  pickle: flag,
  inputs: mounts,
  ...PROCESS_READERS,
};

/** What programs write in the directories where they work: see the call protocol, and our hosts. */
const HOST_FILE = /^((stdout|stderr)(-\d+)?|value-\d+)($|\/)/;

/**
 * Checks the options of `manager.library`.
 *
 * @throws {TypeError | RangeError} When one is wrong, or they do not go together.
 * @throws {Error} When the code in Python is not there.
 */
export function readLibrary(options: LibraryOptions, store: FileStore): CheckedLibrary {
  const read: Given = readOptions<Required<LibraryOptions>>(options, "library", READERS);
  const { name } = read;
  if (name === undefined) {
    throw new TypeError('Cannot declare a library without a name: expected { name: "…" }');
  }
  checkName(name, "library");
  const code = codeOf(name, read);
  if (code.kind === "command") checkLength(code.command, read.env ?? {});
  const { context = "", contextArguments = [] } = read;
  if (context === "" && contextArguments.length > 0) {
    throw new TypeError(
      `Cannot take contextArguments of library "${name}": it names no context function`,
    );
  }
  const inputs = mountsOf(read.inputs ?? {}, "input", store);
  for (const { mount, entry } of inputs) {
    store.checkInput(entry, `input "${mount}"`);
    if (!HOST_FILE.test(mount)) continue;
    const found = "a process keeps what its calls print and return under such a name";
    throw new RangeError(`Cannot mount "${mount}" as an input of library "${name}": ${found}`);
  }
  return {
    name,
    code,
    mode: modeOf(name, code, read.mode),
    context,
    ...encodeContext(name, contextArguments, store),
    slots: read.slots ?? 1,
    instanceCount: read.instances ?? 0,
    inputs,
    ...checkProcess(read, store),
  };
}

/** What instances have of which nothing is said. */
export function plainInstance(name: string, process: CheckedProcess): CheckedInstance {
  return {
    name,
    mode: "direct",
    context: "",
    contextArguments: NO_ARGUMENTS,
    files: [],
    slots: 1,
    instanceCount: 0,
    inputs: [],
    ...process,
  };
}

function codeOf(name: string, read: Given): LibraryCode {
  const { functions, module, python, command, from } = read;
  const kinds = [functions, module, python, command].filter((kind) => kind !== undefined);
  if (kinds.length !== 1) {
    throw new TypeError(
      `Cannot declare library "${name}" with ${kinds.length} of functions, module, python and ` +
        "command: expected exactly one of them",
    );
  }
  if (python === undefined && read.pickle === true) {
    throw new TypeError(`Cannot take pickle of library "${name}": it is not in Python`);
  }
  if (functions !== undefined) return codeOfFunctions(name, functions, read);
  if (read.values !== undefined) {
    throw new TypeError(`Cannot take values of library "${name}": it has no functions by value`);
  }
  if (module !== undefined) return codeOfModule(name, module, from);
  if (python !== undefined) {
    const found = findPython(python, { from, library: name });
    return { kind: "python", module: found, isPickling: read.pickle ?? false };
  }
  const refused = OF_CODE.find((option) => read[option] !== undefined);
  if (refused !== undefined) {
    throw new TypeError(`Cannot take ${refused} of library "${name}": it is a command`);
  }
  return { kind: "command", command: command ?? "" };
}

function codeOfFunctions(name: string, functions: NamedFunctions, read: Given): LibraryCode {
  const { values, context, from } = read;
  const names = Object.keys(functions);
  if (names.length === 0) {
    throw new TypeError(`Cannot declare library "${name}" with functions: there is none`);
  }
  if (from !== undefined) {
    throw new TypeError(`Cannot take from of library "${name}": its functions are given by value`);
  }
  if (context !== undefined && !Object.hasOwn(functions, context)) {
    throw new RangeError(
      `Cannot take context of library "${name}" "${show(context)}" as one of its functions: ` +
        `there are ${names.join(", ")}`,
    );
  }
  return { kind: "functions", text: functionsModule(functions, values) };
}

function codeOfModule(
  name: string,
  module: string | URL,
  from: string | URL | undefined,
): LibraryCode {
  if (isSourceText(module)) {
    const place = `${name.slice(0, PLACE_CHARS_MAX).replaceAll(/[^\w-]/g, "_")}.source.ts`;
    const [path = place] = codePaths(`./${place}`, from);
    return { kind: "javascript_text", text: module, path };
  }
  if (String(module).endsWith(".py")) {
    throw new TypeError(
      `Cannot take "${show(module)}" as the module of library "${name}": it is in Python; ` +
        "expected { python: … } in the place of { module: … }",
    );
  }
  return { kind: "javascript", module, ...(from === undefined ? {} : { from }) };
}

function modeOf(name: string, { kind }: LibraryCode, mode: LibraryMode = "direct"): LibraryMode {
  if (kind === "python" || kind === "command" || mode === "direct") return mode;
  throw new TypeError(
    `Cannot take mode of library "${name}" as "fork": a process of JavaScript cannot be forked; ` +
      'expected "direct", where slots have processes of their own',
  );
}

/** The arguments of a context function, as those of a call. */
function encodeContext(
  name: string,
  args: readonly unknown[],
  store: FileStore,
): Pick<CheckedInstance, "contextArguments" | "files"> {
  const { bytes, files } = encodeArguments<FileEntry, never>(args, {
    onFile: (value) =>
      value instanceof FileHandle ? store.entryOf(value, "a context argument") : undefined,
    onHandle: (value) => {
      if (!(value instanceof TaskHandle)) return undefined;
      throw new TypeError(
        `Cannot pass task ${value.id} as a context argument of library "${name}": await its ` +
          "value() and pass that",
      );
    },
  });
  for (const file of files) store.checkInput(file, `file ${file.id}`);
  if (bytes.length <= VALUE_BYTES_MAX) return { contextArguments: bytes, files };
  throw new RangeError(
    `Cannot pass ${bytes.length} bytes of contextArguments to library "${name}": at most ` +
      `${VALUE_BYTES_MAX}; pass the rest as a file`,
  );
}
