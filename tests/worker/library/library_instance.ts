/** Starts instances of libraries for tests and collects what their calls end with. */

import { watch } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { CacheName } from "../../../shared/ids.ts";
import type { LibraryMode } from "../../../shared/library.ts";
import { decodeThrown, type Thrown } from "../../../shared/thrown.ts";
import { decodeValue, encodeArguments } from "../../../shared/value.ts";
import { endLeftovers } from "../../../worker/leftovers.ts";
import type { CallResult, LibraryCall } from "../../../worker/library/library_call.ts";
import {
  LibraryProcess,
  type LibraryProcessOptions,
} from "../../../worker/library/library_process.ts";
import { programCommand } from "../../../worker/library/library_program.ts";

const HOST_ENTRY = join(import.meta.dirname ?? "", "host_entry.ts");
const PYTHON_HOST = join(import.meta.dirname ?? "", "../../../worker/library/python/host.py");

/** An instance under test. */
export interface TestInstance extends AsyncDisposable {
  readonly library: LibraryProcess;
  /** Private directory of the test; the instance works in `instance` below it. */
  readonly directory: string;
  /** Every result so far. */
  readonly results: readonly CallResult[];
  /** Resolves with what `onDied` said. */
  readonly died: Promise<string>;
  /** Calls a function and resolves with its end. */
  call(name: string, args?: readonly unknown[], more?: Partial<LibraryCall>): Promise<CallResult>;
  /** Gives calls in one batch and resolves with their ends, in the order of the calls. */
  callAll(calls: readonly (readonly [string, ...unknown[]])[]): Promise<CallResult[]>;
  /** Number that the next call will have. */
  readonly nextCallId: number;
}

/** What to start: the source of a JavaScript or a Python module, or a program. */
export type TestProgram =
  | string
  | { readonly python: string }
  | { readonly command: readonly string[] };

/** Starts an instance of a module of that source, or of a program. */
export async function startInstance(
  program: TestProgram,
  options: Partial<LibraryProcessOptions> & { readonly context?: string } = {},
): Promise<TestInstance> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-library-"));
  const results: CallResult[] = [];
  const waiting = new Map<number, (result: CallResult) => void>();
  const died = Promise.withResolvers<string>();
  let callId = 0;

  async function start(): Promise<LibraryProcess> {
    const { context = "", ...rest } = options;
    return await LibraryProcess.start({
      command: await commandOf(program, { directory, context, mode: rest.mode ?? "direct" }),
      directory,
      env: process.env,
      mark: "test",
      slots: 1,
      mode: "direct",
      endLeftovers: (leader) => endLeftovers(leader, undefined),
      onResults(batch) {
        results.push(...batch);
        for (const result of batch) waiting.get(result.callId)?.(result);
      },
      onDied: died.resolve,
      ...rest,
    });
  }

  function newCall(
    name: string,
    args: readonly unknown[],
    more: Partial<LibraryCall> = {},
  ): [LibraryCall, Promise<CallResult>] {
    callId++;
    const result = new Promise<CallResult>((resolve) => waiting.set(callId, resolve));
    const none = { onFile: () => undefined, onHandle: () => undefined };
    const bytes = encodeArguments(args, none).bytes;
    const base = { callId, function: name, arguments: bytes, directory: "", files: [] };
    return [{ ...base, timeoutMs: 0, ...more }, result];
  }

  try {
    const library = await start();
    return {
      library,
      directory,
      results,
      died: died.promise,
      call(name, args = [], more) {
        const [call, result] = newCall(name, args, more);
        library.call([call]);
        return result;
      },
      callAll(list) {
        const calls = list.map(([name, ...args]) => newCall(name, args));
        library.call(calls.map(([call]) => call));
        return Promise.all(calls.map(([, result]) => result));
      },
      get nextCallId() {
        return callId + 1;
      },
      async [Symbol.asyncDispose]() {
        await library.close();
        await rm(directory, { recursive: true });
      },
    };
  } catch (error) {
    await rm(directory, { recursive: true });
    throw error;
  }
}

async function commandOf(
  program: TestProgram,
  { directory, context, mode }: {
    readonly directory: string;
    readonly context: string;
    readonly mode: LibraryMode;
  },
): Promise<readonly string[]> {
  if (typeof program === "string") {
    const module = join(directory, "library.ts");
    await writeFile(module, program);
    return [process.execPath, HOST_ENTRY, module, context];
  }
  if ("command" in program) return program.command;
  const module = join(directory, "model.py");
  await writeFile(module, program.python);
  const python = { kind: "python", module: "" as CacheName, moduleName: "model" } as const;
  return programCommand({
    ...{ module, contextCall: "", hostCommand: [], searchPath: process.env["PATH"] ?? "" },
    library: { name: "model", program: python, mode, context },
    pythonHost: () => PYTHON_HOST,
  });
}

/** What a call returned. */
export function valueOf(result: CallResult): unknown {
  if (result.end.kind === "ok") return decodeValue(result.end.value);
  throw new Error(`Call ended as ${JSON.stringify(result.end)}`);
}

/** What a call threw. */
export function thrownOf(result: CallResult): Thrown {
  if (result.end.kind !== "error") throw new Error(`Call ended as ${JSON.stringify(result.end)}`);
  return decodeThrown(result.end.value);
}

/** Bytes as text. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Waits until a file has contents. */
export async function contentsOf(path: string): Promise<string> {
  const watcher = watch(join(path, ".."));
  try {
    for (;;) {
      const changed = Promise.withResolvers<void>();
      watcher.once("change", () => changed.resolve());
      const contents = await readFile(path, "utf8").catch(() => "");
      if (contents !== "") return contents;
      await changed.promise;
    }
  } finally {
    watcher.close();
  }
}

/** Waits until a process is gone. */
export async function goneOf(pid: number): Promise<void> {
  for (;;) {
    try {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8");
      if (/\) Z /.test(stat)) return;
    } catch {
      return;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
