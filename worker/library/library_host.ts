/**
 * The process that serves the calls of a JavaScript library: it imports the module, runs its
 * context function once, then one call after the other, as call_protocol.ts says.
 *
 * A result is written before the next call starts. So the worker knows, of a process that
 * died or fell silent, which call it was in: the first one without a result. A call that took
 * long is followed by `sync`, so that calls which were given up meanwhile are not run.
 *
 * @module
 */

import { readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "@std/path";

import { unreachable } from "../../shared/assert.ts";
import { BATCH_PREFIX } from "../../shared/library.ts";
import { ONE_CALL_EXPORT, setLibraryContext } from "../../shared/library_context.ts";
import { functionOf, type Namespace } from "../../shared/module_function.ts";
import { VALUE_BYTES_MAX } from "../../shared/protocol.ts";
import { descriptorStream } from "../../shared/runtime/descriptor_stream.ts";
import { provideTendrilModule } from "../../shared/runtime/tendril_module.ts";
import { thrownOf } from "../../shared/thrown.ts";
import { decodeArguments, encodeValue, RESULT_BYTES_MAX } from "../../shared/value.ts";
import {
  type CallMessage,
  CALLS_AHEAD_MAX,
  encodeLibraryMessage,
  type LibraryMessage,
  newMessageBuffer,
  readHostMessages,
  type ResultStatus,
  SYNC_AFTER_MS,
  valueFileName,
} from "./call_protocol.ts";
import { captureOutput, type OutputCapture } from "./output_capture.ts";

/** What a host serves. */
export interface LibraryHostOptions {
  /** Absolute path of the module. */
  readonly module: string;
  /** Name of the function that runs once at the start; empty is none. */
  readonly context: string;
  /** Path of a file with one call of that function; empty when it is given nothing. */
  readonly contextCall: string;
  /** Returns what the module gets for `import … from "tendril"`. */
  loadTendril(): Promise<object>;
}

/** File descriptors of the call protocol. */
const CALLS_FD = 3;
const RESULTS_FD = 4;

/** Status of a process that ended over an exception nobody caught; EX_SOFTWARE of sysexits.h. */
const UNCAUGHT_EXIT_CODE = 70;

/** Pause before a full pipe is tried again. */
const PIPE_RETRY_MS = 1;

const UTF8 = new TextEncoder();

/** Serves calls until the worker closes the pipe; the process ends then. */
export async function runLibraryHost(options: LibraryHostOptions): Promise<void> {
  const capture = captureOutput();
  provideTendrilModule(options.loadTendril);
  let namespace: Namespace;
  try {
    namespace = await import(pathToFileURL(options.module).href) as Namespace;
    await runContext(namespace, options);
  } catch (error) {
    const { name, message, stack } = thrownOf(error);
    send({ kind: "failed", text: stack === "" ? `${name}: ${message}` : stack });
    process.exit(1);
  }
  const server = new CallServer(namespace, capture);
  process.on(
    "exit",
    (code) => server.tellExit(`exit code ${code}`),
  );
  process.on("uncaughtException", (error) => server.end(error));
  process.on("unhandledRejection", (error) => server.end(error));
  const isOnce = Object.hasOwn(namespace, ONE_CALL_EXPORT);
  send({ kind: "ready", callsAhead: isOnce ? 0 : CALLS_AHEAD_MAX, isOnce });
  for await (const chunk of descriptorStream(CALLS_FD)) server.take(chunk);
  server.close();
}

async function runContext(
  namespace: Namespace,
  { context, contextCall }: LibraryHostOptions,
): Promise<void> {
  if (context === "") return;
  const [call] = contextCall === ""
    ? []
    : readHostMessages(newMessageBuffer(), readFileSync(contextCall));
  const args = call?.kind === "call" ? argumentsOf(call) : [];
  setLibraryContext(await functionOf(namespace, context)(...args));
}

function argumentsOf({ arguments: bytes, files }: CallMessage): unknown[] {
  const fileAt = (index: number): string => {
    const path = files[index];
    if (path !== undefined) return path;
    throw new RangeError(`Cannot find file "${index}" as an argument: ${files.length} came`);
  };
  return decodeArguments(bytes, { fileAt, readFile: (index) => readFileSync(fileAt(index)) });
}

/** Runs the calls of one process, one at a time, in order. */
class CallServer {
  readonly #namespace: Namespace;
  readonly #capture: OutputCapture;
  readonly #home: string = process.cwd();
  readonly #buffer = newMessageBuffer();
  /** At most `CALLS_AHEAD_MAX` and one, as the worker was told. */
  #queue: CallMessage[] = [];
  #isServing = false;
  /** Called when the worker answers a sync. */
  #synced: (() => void) | undefined;
  /** The call that has no result yet. */
  #running: { readonly call: CallMessage; readonly startedAtMs: number } | undefined;

  constructor(namespace: Namespace, capture: OutputCapture) {
    this.#namespace = namespace;
    this.#capture = capture;
  }

  take(chunk: Uint8Array): void {
    for (const message of readHostMessages(this.#buffer, chunk)) {
      switch (message.kind) {
        case "call":
          this.#queue.push(message);
          break;
        case "drop":
          this.#drop(message.callId);
          break;
        case "sync":
          this.#synced?.();
          break;
        case "stop":
          // Of forked calls only; the worker ends this process to stop what it runs.
          break;
        default:
          unreachable(message);
      }
    }
    if (!this.#isServing) void this.#serve();
  }

  /** The worker is gone or wants this process no more. */
  close(): void {
    this.#running = undefined;
    process.exit(0);
  }

  /** Says that the process ends inside a call, and how. */
  tellExit(how: string): void {
    if (this.#running === undefined) return;
    const name = this.#running.call.function;
    this.#answer("exit", UTF8.encode(`The process of function "${name}" died: ${how}`));
  }

  /** Ends the process over an exception that reached no handler: its state is not known. */
  end(error: unknown): void {
    const { name, message, stack } = thrownOf(error);
    process.stderr.write(`Uncaught ${stack === "" ? `${name}: ${message}` : stack}\n`);
    this.tellExit(`uncaught ${name}: ${message}`);
    process.exit(UNCAUGHT_EXIT_CODE);
  }

  #drop(callId: number): void {
    const index = this.#queue.findIndex((call) => call.callId === callId);
    if (index === -1) return;
    this.#queue.splice(index, 1);
    send({ kind: "dropped", callId });
  }

  async #serve(): Promise<void> {
    this.#isServing = true;
    for (let call = this.#queue.shift(); call !== undefined; call = this.#queue.shift()) {
      const startedAtMs = performance.now();
      this.#running = { call, startedAtMs };
      this.#capture.begin();
      try {
        if (call.directory !== "") process.chdir(call.directory);
        const returned = this.#invoke(call);
        this.#answerValue(isThenable(returned) ? await returned : returned, call);
      } catch (error) {
        this.#answer("error", UTF8.encode(JSON.stringify(thrownOf(error))));
      }
      if (call.directory !== "") process.chdir(this.#home);
      if (performance.now() - startedAtMs >= SYNC_AFTER_MS) await this.#sync();
    }
    this.#isServing = false;
  }

  /** Resolves when all that the worker wrote until now has been read. */
  async #sync(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#synced = resolve;
    send({ kind: "sync" });
    await promise;
  }

  #invoke(call: CallMessage): unknown {
    const args = argumentsOf(call);
    if (!call.function.startsWith(BATCH_PREFIX)) {
      return functionOf(this.#namespace, call.function)(...args);
    }
    return runBatch(functionOf(this.#namespace, call.function.slice(BATCH_PREFIX.length)), args);
  }

  #answerValue(value: unknown, call: CallMessage): void {
    const bytes = encodeValue(value, { root: "result", bytesMax: RESULT_BYTES_MAX });
    if (bytes.length <= VALUE_BYTES_MAX) return this.#answer("ok", bytes);
    const path = join(this.#home, valueFileName(call.callId));
    try {
      // What has its name may be a link into the worker's cache.
      rmSync(path, { force: true });
      writeFileSync(path, bytes, { flag: "wx" });
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    }
    this.#answer("file", UTF8.encode(path));
  }

  #answer(status: ResultStatus, content: Uint8Array): void {
    const { stdout, stderr } = this.#capture.end();
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    const microseconds = (performance.now() - running.startedAtMs) * 1000;
    const { callId } = running.call;
    send({ kind: "result", callId, status, content, stdout, stderr, microseconds });
  }
}

/** Runs a function for each list of arguments, one after the other. */
async function runBatch(
  fn: (...args: unknown[]) => unknown,
  [calls, stopsAtFailure]: readonly unknown[],
): Promise<unknown[]> {
  const ends: unknown[] = [];
  for (const args of calls as readonly (readonly unknown[])[]) {
    try {
      ends.push([true, await fn(...args)]);
    } catch (error) {
      const { name, message, stack } = thrownOf(error);
      ends.push([false, name, message, stack]);
      if (stopsAtFailure === true) break;
    }
  }
  return ends;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value &&
    typeof value.then === "function";
}

/** Writes a message before it returns; a full pipe makes it wait for the worker. */
function send(message: LibraryMessage): void {
  let rest: Uint8Array = Buffer.concat(encodeLibraryMessage(message));
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(RESULTS_FD, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_RETRY_MS);
        continue;
      }
      // The worker closed the pipe: nobody is left to answer.
      process.exit(0);
    }
  }
}
