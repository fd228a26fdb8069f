/**
 * The call protocol: how a worker speaks with a process that serves function calls. Any
 * program can, in a few lines of shell or C. It reads calls from file descriptor 3 and writes
 * results to file descriptor 4; what it prints on 1 and 2 goes to the library's log.
 *
 * A message is a line of words with one space between them, then as many bytes as the line
 * announces, with nothing after them. The program says first, once it can serve calls,
 *
 *     ready [AHEAD | once]
 *
 * or `failed BYTES`, with a text that says why. Then the worker sends
 *
 *     call ID FUNCTION ARGUMENT_BYTES PATH_BYTES
 *
 * followed by the arguments (a CBOR array, shared/value.ts) and by lines of text: first the
 * directory the function should work in, empty for none, then the absolute path of each file
 * among the arguments, by index. Without files and directory PATH_BYTES is 0. The answer is
 *
 *     result ID ok VALUE_BYTES [STDOUT_BYTES STDERR_BYTES [MICROSECONDS]]
 *
 * followed by the value (CBOR) and by what the function printed, if that was kept apart, and
 * how long it ran. Instead of `ok`: `error`, followed by a text, or by JSON with `name`,
 * `message` and `stack`; `file`, followed by the path of a file that holds a value too large
 * for a message; `exit`, followed by a text, when the function ended its own process. The end
 * of file on descriptor 3 ends the program.
 *
 * With a plain `ready` the next call comes after the result of the last; after `ready once` the
 * process is ended with its first result, and the next call gets a fresh one. A program that says
 * `ready AHEAD` may find up to AHEAD further calls in its pipe, serves them in order, and
 * answers `drop ID` with `dropped ID`, if that call has not started, and otherwise with its
 * result alone. It writes a result before it starts the next call; and when the call took
 * `SYNC_AFTER_MS` or longer it writes `sync` then, and waits for `sync` from the worker: the
 * drops that came meanwhile lie before that in its pipe.
 *
 * The environment variable `TENDRIL_SLOTS` is how many calls the program may be asked to run at
 * the same time. It is 1 ("direct") or, for a program that gives each call a process of its own
 * ("fork"), more: then up to `TENDRIL_SLOTS` and AHEAD calls may be in its hands, results come in
 * any order and need no `sync`, and two more messages exist. The worker sends `stop ID`: the
 * running call is to be ended with all its processes, and is answered with `result ID stopped 0`,
 * or with its result if it has ended. The program may say `running ID PID`: that call runs in the
 * process PID, which leads a group of its own.
 *
 * README has a library in shell: server.sh.
 *
 * @module
 */

import { unreachable } from "../../shared/assert.ts";
import { copyPart } from "../../shared/byte_part.ts";
import { STREAM_KEPT_BYTES, VALUE_BYTES_MAX } from "../../shared/protocol.ts";

/** Most calls that may wait in the pipe of one process, whatever it offers. */
export const CALLS_AHEAD_MAX = 256;

/** A call that took this long is followed by `sync`; the worker drops calls behind longer ones. */
export const SYNC_AFTER_MS = 10;

/** Longest line of a message, in bytes. */
export const LINE_BYTES_MAX = 512;

/** Longest arguments and longest list of paths of a call, in bytes. */
export const ARGUMENT_BYTES_MAX: number = VALUE_BYTES_MAX;
export const PATHS_BYTES_MAX: number = 1024 * 1024;

/** A call as it goes to a library process. */
export interface CallMessage {
  readonly kind: "call";
  readonly callId: number;
  readonly function: string;
  readonly arguments: Uint8Array;
  /** Where the function works; empty for the process's own directory. */
  readonly directory: string;
  /** Absolute paths of the files among the arguments, by index. */
  readonly files: readonly string[];
}

/** What a library process is told. */
export type HostMessage =
  | CallMessage
  | { readonly kind: "drop"; readonly callId: number }
  | { readonly kind: "stop"; readonly callId: number }
  | { readonly kind: "sync" };

/** How a call ended, in the words of the protocol. */
export type ResultStatus = "ok" | "error" | "file" | "exit" | "stopped";

/** A result as it comes from a library process. */
export interface ResultMessage {
  readonly kind: "result";
  readonly callId: number;
  readonly status: ResultStatus;
  /** A value, a text or a path, by status. */
  readonly content: Uint8Array;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** How long the function ran; absent when the program does not say. */
  readonly microseconds?: number;
}

/** A library process can serve calls. */
export interface ReadyMessage {
  readonly kind: "ready";
  /** Calls that may wait in the pipe. */
  readonly callsAhead: number;
  /** True when the process serves one call only. */
  readonly isOnce: boolean;
}

/** What a library process says. */
export type LibraryMessage =
  | ReadyMessage
  | { readonly kind: "failed"; readonly text: string }
  | ResultMessage
  | { readonly kind: "dropped"; readonly callId: number }
  | { readonly kind: "running"; readonly callId: number; readonly processId: number }
  | { readonly kind: "sync" };

/** Thrown for bytes that are not of the protocol; the process that wrote them must go. */
export class CallProtocolError extends Error {
  override readonly name = "CallProtocolError";
}

/** Bytes of a stream that are not a whole message yet. */
export interface MessageBuffer {
  chunks: Uint8Array[];
  /** Sum of the sizes of `chunks`. */
  size: number;
  /** The size below which there is no whole message. */
  wanted: number;
}

const RESULT_STATUSES: readonly ResultStatus[] = ["ok", "error", "file", "exit", "stopped"];

/** Largest process ID of Linux; source: PID_MAX_LIMIT of its include/linux/threads.h. */
const PROCESS_ID_MAX = 4 * 1024 * 1024;

const EMPTY = new Uint8Array(0);
const NEWLINE = 10;
const UTF8 = new TextDecoder();
const UTF8_ENCODER = new TextEncoder();

/** Returns a buffer for the bytes of one direction of one process. */
export function newMessageBuffer(): MessageBuffer {
  return { chunks: [], size: 0, wanted: 0 };
}

/** True for a name that fits in the line of a call: no spaces, nothing invisible. */
export function isFunctionName(name: string): boolean {
  return name.length <= 200 && /^[\x21-\x7e]+$/.test(name);
}

/** Name of the file that our hosts write a large value to, in the directory of their process. */
export function valueFileName(callId: number): string {
  return `value-${callId}`;
}

/** True for a path that fits in a line. */
export function isCallPath(path: string): boolean {
  return !path.includes("\n");
}

/**
 * Returns the parts of a call; they are to be written one after the other.
 *
 * @param callId Its ID on the pipe. Default the call's own.
 */
export function encodeCall(
  call: Omit<CallMessage, "kind">,
  callId: number = call.callId,
): readonly Uint8Array[] {
  const paths = call.directory === "" && call.files.length === 0
    ? EMPTY
    : UTF8_ENCODER.encode([call.directory, ...call.files, ""].join("\n"));
  const sizes = `${call.arguments.length} ${paths.length}`;
  const line = UTF8_ENCODER.encode(`call ${callId} ${call.function} ${sizes}\n`);
  return paths.length === 0 ? [line, call.arguments] : [line, call.arguments, paths];
}

/** Returns the bytes of a drop. */
export function encodeDrop(callId: number): Uint8Array {
  return UTF8_ENCODER.encode(`drop ${callId}\n`);
}

/** Returns the bytes of a stop. */
export function encodeStop(callId: number): Uint8Array {
  return UTF8_ENCODER.encode(`stop ${callId}\n`);
}

/** Returns the bytes of a sync, which are the same in both directions. */
export function encodeSync(): Uint8Array {
  return UTF8_ENCODER.encode("sync\n");
}

/** Returns the parts of a message of a library process. */
export function encodeLibraryMessage(message: LibraryMessage): readonly Uint8Array[] {
  switch (message.kind) {
    case "ready":
      return [UTF8_ENCODER.encode(`ready ${message.isOnce ? "once" : message.callsAhead}\n`)];
    case "failed": {
      const text = UTF8_ENCODER.encode(message.text).subarray(0, STREAM_KEPT_BYTES);
      return [UTF8_ENCODER.encode(`failed ${text.length}\n`), text];
    }
    case "dropped":
      return [UTF8_ENCODER.encode(`dropped ${message.callId}\n`)];
    case "running":
      return [UTF8_ENCODER.encode(`running ${message.callId} ${message.processId}\n`)];
    case "sync":
      return [encodeSync()];
    case "result": {
      const { callId, status, content, stdout, stderr, microseconds } = message;
      const time = microseconds === undefined ? "" : ` ${Math.round(microseconds)}`;
      const sizes = `${content.length} ${stdout.length} ${stderr.length}${time}`;
      const line = UTF8_ENCODER.encode(`result ${callId} ${status} ${sizes}\n`);
      const isSilent = stdout.length + stderr.length === 0;
      return isSilent ? [line, content] : [line, content, stdout, stderr];
    }
    default:
      return unreachable(message);
  }
}

/**
 * Returns the whole messages to a library process that `chunk` completes.
 *
 * @throws {CallProtocolError} if the bytes are none.
 */
export function readHostMessages(buffer: MessageBuffer, chunk: Uint8Array): HostMessage[] {
  return readMessages(buffer, chunk, hostMessageOf);
}

/**
 * Returns the whole messages of a library process that `chunk` completes.
 *
 * @throws {CallProtocolError} if the bytes are none.
 */
export function readLibraryMessages(buffer: MessageBuffer, chunk: Uint8Array): LibraryMessage[] {
  return readMessages(buffer, chunk, libraryMessageOf);
}

/** A message without its bytes: their size, and how to make it of them. */
interface Announced<M> {
  readonly size: number;
  /** The bytes are a part of a larger buffer: what is kept must be copied. */
  make(bytes: Uint8Array): M;
}

const SYNC: Announced<{ readonly kind: "sync" }> = { size: 0, make: () => ({ kind: "sync" }) };

function readMessages<M>(
  buffer: MessageBuffer,
  chunk: Uint8Array,
  announce: (words: readonly string[]) => Announced<M>,
): M[] {
  const all = append(buffer, chunk);
  if (all === undefined) return [];
  // Of a Buffer the text of a line is had without a view of it.
  const bytes = Buffer.from(all.buffer, all.byteOffset, all.length);
  const messages: M[] = [];
  let at = 0;
  let wanted = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf(NEWLINE, at);
    const lineSize = (end === -1 ? bytes.length : end) - at;
    if (lineSize > LINE_BYTES_MAX) {
      throw new CallProtocolError(
        `Cannot read a line of the call protocol: more than ${LINE_BYTES_MAX} bytes`,
      );
    }
    if (end === -1) break;
    const announced = announce(bytes.toString("latin1", at, end).split(" "));
    wanted = end + 1 + announced.size - at;
    if (at + wanted > bytes.length) break;
    messages.push(announced.make(bytes.subarray(end + 1, at + wanted)));
    at += wanted;
    wanted = 0;
  }
  keep(buffer, bytes.subarray(at), wanted);
  return messages;
}

/** Returns all bytes once they may hold a message; joins them only then. */
function append(buffer: MessageBuffer, chunk: Uint8Array): Uint8Array | undefined {
  // The `slice` of a Buffer, unlike that of other arrays, copies nothing.
  if (buffer.size === 0) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  buffer.chunks.push(chunk);
  buffer.size += chunk.length;
  if (buffer.size < buffer.wanted) return undefined;
  const joined = new Uint8Array(buffer.size);
  let at = 0;
  for (const part of buffer.chunks) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function keep(buffer: MessageBuffer, rest: Uint8Array, wanted: number): void {
  buffer.chunks = rest.length === 0 ? [] : [rest];
  buffer.size = rest.length;
  buffer.wanted = wanted;
}

function hostMessageOf(words: readonly string[]): Announced<HostMessage> {
  if (words[0] === "call" && words.length === 5) {
    const callId = numberOf(words, 1, Number.MAX_SAFE_INTEGER);
    const argumentSize = numberOf(words, 3, ARGUMENT_BYTES_MAX);
    const pathSize = numberOf(words, 4, PATHS_BYTES_MAX);
    return {
      size: argumentSize + pathSize,
      make(bytes) {
        const [directory = "", ...files] = pathSize === 0
          ? []
          : UTF8.decode(bytes.subarray(argumentSize, -1)).split("\n");
        const args = copyPart(bytes, 0, argumentSize);
        return {
          kind: "call",
          callId,
          function: words[2] ?? "",
          arguments: args,
          directory,
          files,
        };
      },
    };
  }
  const kind = words[0];
  if ((kind === "drop" || kind === "stop") && words.length === 2) {
    const callId = numberOf(words, 1, Number.MAX_SAFE_INTEGER);
    return { size: 0, make: () => ({ kind, callId }) };
  }
  if (words[0] === "sync" && words.length === 1) return SYNC;
  return refuse(words);
}

function libraryMessageOf(words: readonly string[]): Announced<LibraryMessage> {
  switch (words[0]) {
    case "result":
      return resultOf(words);
    case "ready": {
      if (words.length > 2) break;
      const isOnce = words[1] === "once";
      const callsAhead = words.length === 1 || isOnce
        ? 0
        : numberOf(words, 1, Number.MAX_SAFE_INTEGER);
      return { size: 0, make: () => ({ kind: "ready", callsAhead, isOnce }) };
    }
    case "failed": {
      if (words.length !== 2) break;
      const size = numberOf(words, 1, STREAM_KEPT_BYTES);
      return { size, make: (bytes) => ({ kind: "failed", text: UTF8.decode(bytes) }) };
    }
    case "dropped": {
      if (words.length !== 2) break;
      const callId = numberOf(words, 1, Number.MAX_SAFE_INTEGER);
      return { size: 0, make: () => ({ kind: "dropped", callId }) };
    }
    case "running": {
      if (words.length !== 3) break;
      const callId = numberOf(words, 1, Number.MAX_SAFE_INTEGER);
      const processId = numberOf(words, 2, PROCESS_ID_MAX);
      return { size: 0, make: () => ({ kind: "running", callId, processId }) };
    }
    case "sync":
      if (words.length === 1) return SYNC;
  }
  return refuse(words);
}

function resultOf(words: readonly string[]): Announced<LibraryMessage> {
  const status = words[2];
  if (![4, 6, 7].includes(words.length)) return refuse(words);
  if (!isResultStatus(status)) return refuse(words);
  const callId = numberOf(words, 1, Number.MAX_SAFE_INTEGER);
  const size = numberOf(words, 3, VALUE_BYTES_MAX);
  const stdoutSize = words.length > 4 ? numberOf(words, 4, STREAM_KEPT_BYTES) : 0;
  const stderrSize = words.length > 4 ? numberOf(words, 5, STREAM_KEPT_BYTES) : 0;
  const time = words.length > 6
    ? { microseconds: numberOf(words, 6, Number.MAX_SAFE_INTEGER) }
    : undefined;
  return {
    size: size + stdoutSize + stderrSize,
    make(bytes) {
      const content = copyPart(bytes, 0, size);
      const stdout = stdoutSize === 0 ? EMPTY : copyPart(bytes, size, stdoutSize);
      const stderr = stderrSize === 0 ? EMPTY : copyPart(bytes, size + stdoutSize, stderrSize);
      return { kind: "result", callId, status, content, stdout, stderr, ...time };
    },
  };
}

function isResultStatus(word: string | undefined): word is ResultStatus {
  return RESULT_STATUSES.some((status) => status === word);
}

function numberOf(words: readonly string[], index: number, max: number): number {
  const word = words[index] ?? "";
  const number = Number(word);
  if (!/^\d{1,16}$/.test(word) || number > max) {
    throw new CallProtocolError(
      `Cannot read "${words.join(" ")}" as a line of the call protocol: ` +
        `word ${index + 1} is not a number up to ${max}`,
    );
  }
  return number;
}

function refuse(words: readonly string[]): never {
  throw new CallProtocolError(
    `Cannot read "${words.join(" ")}" as a line of the call protocol: no such message`,
  );
}
