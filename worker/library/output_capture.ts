/**
 * Keeps what JavaScript prints while a function call runs apart from the library's own log.
 *
 * It replaces the methods of `console` and the `write` of the two streams. What a child
 * process or native code prints goes to the log, and so does what is printed between calls.
 *
 * @module
 */

import { Console } from "node:console";
import { Writable } from "node:stream";

import { STREAM_KEPT_BYTES } from "../../shared/protocol.ts";

/** The end of what was printed, in pieces. */
interface Printed {
  chunks: Uint8Array[];
  size: number;
}

/** What one call printed: the end of each stream. */
export interface CallOutput {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

/** A capture that has taken over the process's output. */
export interface OutputCapture {
  /** From here on, what is printed is the call's. */
  begin(): void;
  /** From here on, what is printed is the log's again; returns what the call printed. */
  end(): CallOutput;
}

const NOTHING: Uint8Array = new Uint8Array(0);
const UTF8 = new TextEncoder();

/** Takes over the process's output; done once, before the user's code is imported. */
export function captureOutput(): OutputCapture {
  const stdout: Printed = { chunks: [], size: 0 };
  const stderr: Printed = { chunks: [], size: 0 };
  let isInCall = false;
  replaceWrite(process.stdout, stdout, () => isInCall);
  replaceWrite(process.stderr, stderr, () => isInCall);
  const console = new Console(forwardTo(process.stdout), forwardTo(process.stderr));
  const target = globalThis.console as unknown as Record<string, unknown>;
  for (const [name, method] of Object.entries(console)) {
    if (typeof method === "function" && !name.startsWith("_")) target[name] = method;
  }
  return {
    begin() {
      isInCall = true;
    },
    end() {
      isInCall = false;
      return { stdout: takeAll(stdout), stderr: takeAll(stderr) };
    },
  };
}

function replaceWrite(stream: NodeJS.WriteStream, printed: Printed, isInCall: () => boolean): void {
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  stream.write = ((chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    if (!isInCall()) return write(chunk, ...rest);
    const encoding = typeof rest[0] === "string" ? rest[0] as BufferEncoding : "utf8";
    add(printed, typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk.slice());
    const done = rest.find((argument) => typeof argument === "function");
    if (done !== undefined) queueMicrotask(done as () => void);
    return true;
  }) as typeof stream.write;
}

/** A stream for `console`, which asks for `write` anew each time, so that a replaced one counts. */
function forwardTo(stream: NodeJS.WriteStream): Writable {
  return new Writable({
    decodeStrings: false,
    write(chunk: string | Uint8Array, _encoding, done): void {
      stream.write(typeof chunk === "string" ? UTF8.encode(chunk) : chunk);
      done();
    },
  });
}

function add(printed: Printed, chunk: Uint8Array): void {
  printed.chunks.push(chunk);
  printed.size += chunk.length;
  let dropped = 0;
  for (const first of printed.chunks) {
    if (printed.size - first.length < STREAM_KEPT_BYTES) break;
    printed.size -= first.length;
    dropped++;
  }
  if (dropped > 0) printed.chunks.splice(0, dropped);
}

function takeAll(printed: Printed): Uint8Array {
  if (printed.size === 0) return NOTHING;
  const all = Buffer.concat(printed.chunks);
  printed.chunks = [];
  printed.size = 0;
  return all.subarray(Math.max(0, all.length - STREAM_KEPT_BYTES));
}
