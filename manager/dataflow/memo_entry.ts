/**
 * Entries of a memo store as bytes: CBOR of one array, whose first item is the version. Bytes that
 * are read may come from anywhere, and are checked.
 *
 * @module
 */

import { Encoder } from "cbor-x/encode";

import { CBOR_OPTIONS } from "../../shared/codec.ts";
import type { KeptFile } from "../kept_file.ts";
import type { KeptPlace, MemoEntry, MemoPlace, MemoSummary, MemoValue } from "./memo_store.ts";

/** A value at most; larger ones are kept in files. */
export const MEMO_VALUE_BYTES_MAX: number = 1024 * 1024;

/** Everything about one call at most: beside its value what it used, and where its outputs are. */
export const MEMO_ENTRY_BYTES_MAX: number = 8 * 1024 * 1024;

/** Calls whose results one call used, and outputs that it has, at most. */
const DEPENDENCIES_MAX = 100_000;
const OUTPUTS_MAX = 10_000;

/** Name of an app, and of what else is text, at most; the call is cut at its own limit. */
const APP_CHARS_MAX = 1_000;
const TEXT_CHARS_MAX = 10_000;
const CALL_CHARS_MAX = 500;

/** The last instant of a Date: ECMA-262, section 21.4.1.1. */
const INSTANT_MS_MAX = 8.64e15;

/** Of what is encoded here. */
const ENTRY_VERSION = 1;

const KEY_BYTES = 32;

const cbor = new Encoder(CBOR_OPTIONS);

/** True of 64 hexadecimal digits, in lower case. */
export function isMemoKey(text: unknown): text is string {
  return typeof text === "string" && /^[0-9a-f]{64}$/.test(text);
}

/**
 * Refuses what is no key.
 *
 * @throws {TypeError} When it is none.
 */
export function checkMemoKey(key: string): void {
  if (isMemoKey(key)) return;
  throw new TypeError(
    `Cannot take "${String(key).slice(0, 100)}" as a memo key: expected 64 hexadecimal digits`,
  );
}

/**
 * The bytes of an entry.
 *
 * @throws {TypeError} When a key in it is none.
 * @throws {RangeError} When it is too large.
 */
export function encodeEntry(entry: MemoEntry): Uint8Array {
  checkEntry(entry);
  const { app, madeAtMs, ranMs, value, outputs, stdout, stderr, dependsOn = [], call = "" } = entry;
  const keys = new Uint8Array(dependsOn.length * KEY_BYTES);
  for (const [index, key] of dependsOn.entries()) {
    checkMemoKey(key);
    keys.set(Uint8Array.fromHex(key), index * KEY_BYTES);
  }
  const bytes = cbor.encode([
    ENTRY_VERSION,
    app,
    madeAtMs,
    ranMs,
    value,
    Object.entries(outputs),
    stdout ?? null,
    stderr ?? null,
    keys,
    call.slice(0, CALL_CHARS_MAX).toWellFormed(),
  ]);
  if (bytes.length > MEMO_ENTRY_BYTES_MAX) {
    refuseEntry(entry, `${bytes.length} bytes, where ${MEMO_ENTRY_BYTES_MAX} are allowed`);
  }
  return new Uint8Array(bytes);
}

/** The entry of `key` that `bytes` hold; undefined when they hold none. */
export function decodeEntry(key: string, bytes: Uint8Array): MemoEntry | undefined {
  try {
    return readEntry(key, bytes);
  } catch {
    // Not CBOR: whatever it is, it is no entry.
    return undefined;
  }
}

/** What lists show of an entry. */
export function summaryOf(entry: MemoEntry): MemoSummary {
  const { key, app, madeAtMs, ranMs, value, outputs, call = "" } = entry;
  return {
    key,
    app,
    madeAtMs,
    ranMs,
    valueKind: value.kind,
    sizeBytes: value.kind === "bytes" ? value.bytes.length : value.file.size,
    outputCount: Object.keys(outputs).length,
    call: call.slice(0, CALL_CHARS_MAX).toWellFormed(),
  };
}

function checkEntry(entry: MemoEntry): void {
  checkMemoKey(entry.key);
  const { app, value, outputs, dependsOn = [] } = entry;
  const sizeBytes = value.kind === "bytes" ? value.bytes.length : 0;
  if (sizeBytes > MEMO_VALUE_BYTES_MAX) {
    refuseEntry(entry, `a value of ${sizeBytes} bytes, where ${MEMO_VALUE_BYTES_MAX} are allowed`);
  }
  const outputCount = Object.keys(outputs).length;
  if (outputCount > OUTPUTS_MAX) refuseEntry(entry, `${outputCount} outputs`);
  if (dependsOn.length > DEPENDENCIES_MAX) {
    refuseEntry(entry, `results of ${dependsOn.length} calls used`);
  }
  if (app.length > APP_CHARS_MAX) refuseEntry(entry, `an app's name of ${app.length} characters`);
  checkPlaces(entry);
}

/** What is put must be found: it is checked as it will be when it is read. */
function checkPlaces({ app, madeAtMs, ranMs, value, outputs, stdout, stderr }: MemoEntry): void {
  const isWhole = isInstant(madeAtMs) && isAmount(ranMs) &&
    (value.kind === "bytes" || readPlace(value) !== undefined) &&
    readOutputs(Object.entries(outputs)) !== undefined &&
    [stdout, stderr].every((place) => place === undefined || readPlace(place) !== undefined);
  if (isWhole) return;
  throw new TypeError(`Cannot remember the result of app "${app}": it is not of an entry's shape`);
}

function refuseEntry({ app }: MemoEntry, found: string): never {
  throw new RangeError(`Cannot remember the result of app "${app.slice(0, 100)}": ${found}`);
}

function readEntry(key: string, bytes: Uint8Array): MemoEntry | undefined {
  const found: unknown = cbor.decode(bytes);
  if (!Array.isArray(found) || found.length !== 10 || found[0] !== ENTRY_VERSION) return undefined;
  const [, app, madeAtMs, ranMs, valueRead, outputsRead, stdoutRead, stderrRead, keys, call] =
    found as readonly unknown[];
  const value = readValue(valueRead);
  const outputs = readOutputs(outputsRead);
  const [stdout, stderr] = [readPlace(stdoutRead), readPlace(stderrRead)];
  if (!isText(app) || !isText(call) || !isInstant(madeAtMs) || !isAmount(ranMs)) return undefined;
  if (value === undefined || outputs === undefined) return undefined;
  if (stdoutRead !== null && stdout === undefined) return undefined;
  if (stderrRead !== null && stderr === undefined) return undefined;
  if (!(keys instanceof Uint8Array) || keys.length % KEY_BYTES !== 0) return undefined;
  const dependsOn: string[] = [];
  for (let at = 0; at < keys.length; at += KEY_BYTES) {
    dependsOn.push(keys.subarray(at, at + KEY_BYTES).toHex());
  }
  return {
    key,
    app,
    madeAtMs,
    ranMs,
    value,
    outputs,
    ...(stdout === undefined ? {} : { stdout }),
    ...(stderr === undefined ? {} : { stderr }),
    ...(dependsOn.length === 0 ? {} : { dependsOn }),
    ...(call === "" ? {} : { call }),
  };
}

function readValue(read: unknown): MemoValue | undefined {
  if (!isRecord(read)) return undefined;
  if (read["kind"] === "bytes") {
    const bytes = read["bytes"];
    // A copy: the bytes around it are a frame of many entries. (`slice` of a Buffer makes none.)
    return bytes instanceof Uint8Array && bytes.length <= MEMO_VALUE_BYTES_MAX
      ? { kind: "bytes", bytes: new Uint8Array(bytes) }
      : undefined;
  }
  return readKept(read);
}

function readKept(
  { kind, file: read, within }: Readonly<Record<string, unknown>>,
): KeptPlace | undefined {
  const file = readFile(read);
  if (kind !== "kept" || file === undefined) return undefined;
  if (within === undefined) return { kind, file };
  return isText(within) ? { kind, file, within } : undefined;
}

function readOutputs(read: unknown): { [name: string]: MemoPlace } | undefined {
  if (!Array.isArray(read) || read.length > OUTPUTS_MAX) return undefined;
  const outputs: [string, MemoPlace][] = [];
  for (const item of read as unknown[]) {
    const [name, placeRead] = Array.isArray(item) ? item as unknown[] : [];
    const place = readPlace(placeRead);
    if (!isText(name) || place === undefined) return undefined;
    outputs.push([name, place]);
  }
  return Object.fromEntries(outputs);
}

function readPlace(read: unknown): MemoPlace | undefined {
  if (!isRecord(read)) return undefined;
  const { kind, digest, sizeBytes, path, url, version } = read;
  if (kind === "kept") return readKept(read);
  if (!isDigest(digest) || !isAmount(sizeBytes)) return undefined;
  if (kind === "path" && isText(path)) return { kind, path, digest, sizeBytes };
  if (kind !== "url" || !isText(url) || !isText(version)) return undefined;
  return { kind, url, digest, sizeBytes, version };
}

function readFile(read: unknown): KeptFile | undefined {
  if (!isRecord(read)) return undefined;
  const { name, digest, size, isDirectory, isExecutable } = read;
  if (!isText(name) || !isDigest(digest) || !isAmount(size)) return undefined;
  if (typeof isDirectory !== "boolean" || typeof isExecutable !== "boolean") return undefined;
  return { name, digest, size, isDirectory, isExecutable };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= TEXT_CHARS_MAX;
}

function isAmount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}

function isInstant(value: unknown): value is number {
  return isAmount(value) && value <= INSTANT_MS_MAX;
}

function isDigest(value: unknown): value is string {
  return value === "" || isMemoKey(value);
}
