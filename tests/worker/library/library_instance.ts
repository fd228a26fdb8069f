/** Starts instances of libraries for tests and collects what their calls end with. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encodeArguments } from "../../../shared/value.ts";
import { endLeftovers } from "../../../worker/leftovers.ts";
import type { CallResult, LibraryCall } from "../../../worker/library/library_call.ts";
import {
  LibraryProcess,
  type LibraryProcessOptions,
} from "../../../worker/library/library_process.ts";

const HOST_ENTRY = join(import.meta.dirname ?? "", "host_entry.ts");

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

/** Starts an instance of a module of that source, or of a program. */
export async function startInstance(
  program: string | { readonly command: readonly string[] },
  options: Partial<LibraryProcessOptions> & { readonly context?: string } = {},
): Promise<TestInstance> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-library-"));
  const results: CallResult[] = [];
  const waiting = new Map<number, (result: CallResult) => void>();
  const died = Promise.withResolvers<string>();
  let callId = 0;

  async function start(): Promise<LibraryProcess> {
    const { context = "", ...rest } = options;
    const module = join(directory, "library.ts");
    if (typeof program === "string") await writeFile(module, program);
    return await LibraryProcess.start({
      command: typeof program === "string"
        ? [process.execPath, HOST_ENTRY, module, context]
        : program.command,
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
