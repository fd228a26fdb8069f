/**
 * Reads TaskVine's logs as their format is described, and says what shape each line has: the words
 * that are always there, and what kind of value stands in each other place.
 */

import { readFileSync } from "node:fs";

import { join } from "@std/path";

const SAMPLES = join(import.meta.dirname ?? "", "taskvine_samples");

/** One of the logs of a small run of CCTools 8.0: six tasks, a library, a call. */
export function sample(name: "transactions" | "performance" | "taskgraph"): string {
  return readFileSync(join(SAMPLES, name), "utf8");
}

/** A word of a format, and what it is in a shape. */
const PLACES: { readonly [place: string]: RegExp } = {
  PID: /\d+/,
  US: /\d+/,
  COUNT: /\d+/,
  STATUS: /-?\d+/,
  WORKER: /worker-[^\s]+/,
  FILE: /[A-Za-z0-9_-][A-Za-z0-9._-]*/,
  NAME: /[^\s]+/,
  ADDRESS: /[^\s]+:\d+/,
  JSON: /\{[^\s]*\}/,
  ALLOCATION: /FIRST_RESOURCES|MAX_RESOURCES/,
  REASON: /UNKNOWN|IDLE_OUT|FAST_ABORT|FAILURE|STATUS_WORKER|EXPLICIT|XFER_ERRORS/,
  MODE: /[A-Z_]+/,
  RESULT:
    /SUCCESS|UNKNOWN|INPUT_MISSING|OUTPUT_MISSING|STDOUT_MISSING|SIGNAL|RESOURCE_EXHAUSTION|MAX_RETRIES|MAX_END_TIME|MAX_WALL_TIME|FORSAKEN/,
  TEXT: /.*/,
};

/** Blanks count: two where TaskVine writes two. */
const TRANSACTIONS: readonly string[] = [
  "US PID MANAGER PID START 0",
  "US PID MANAGER PID END US",
  "US PID WORKER WORKER CONNECTION ADDRESS",
  "US PID WORKER WORKER DISCONNECTION REASON",
  "US PID WORKER WORKER RESOURCES JSON",
  "US PID WORKER WORKER CACHE_UPDATE FILE COUNT US US",
  "US PID WORKER WORKER TRANSFER INPUT FILE COUNT US US",
  "US PID WORKER WORKER TRANSFER OUTPUT FILE COUNT US US",
  "US PID CATEGORY NAME MAX JSON",
  "US PID CATEGORY NAME MIN JSON",
  "US PID CATEGORY NAME FIRST MODE JSON",
  "US PID TASK COUNT READY NAME ALLOCATION COUNT JSON",
  "US PID TASK COUNT RUNNING WORKER  ALLOCATION JSON",
  "US PID TASK COUNT WAITING_RETRIEVAL WORKER ",
  "US PID TASK COUNT RETRIEVED RESULT  STATUS  JSON JSON",
  "US PID TASK COUNT RETRIEVED RESULT  STATUS JSON JSON",
  "US PID TASK COUNT DONE RESULT  STATUS ",
  "US PID LIBRARY COUNT SENT WORKER",
  "US PID LIBRARY COUNT STARTED WORKER",
  "US PID LIBRARY COUNT FAILURE WORKER",
  "US PID APPLICATION TEXT",
];

/** One line that was understood. */
export interface VineLine {
  /** The format that it has. */
  readonly format: string;
  /** The values of its places, in their order. */
  readonly values: readonly string[];
  /** The keys of its JSON, in their order; of the last when there are several. */
  readonly keys: readonly string[];
}

/** All lines of a transactions log but comments. Throws on one that has no known format. */
export function parseTransactions(text: string): readonly VineLine[] {
  return linesOf(text).map((line) => parseLine(line, TRANSACTIONS));
}

/** The formats of lines with the keys of their JSON, each once. */
export function shapesOf(lines: readonly VineLine[]): ReadonlyMap<string, ReadonlySet<string>> {
  const shapes = new Map<string, Set<string>>();
  for (const { format, keys } of lines) {
    const known = shapes.get(format) ?? new Set();
    shapes.set(format, known.add(keys.join(", ")));
  }
  return shapes;
}

/** The rows of a performance log, by column. Throws on one that has not all columns. */
export function parsePerformance(text: string): {
  readonly columns: readonly string[];
  readonly rows: readonly { readonly [column: string]: number }[];
} {
  const [header = ""] = text.split("\n");
  const columns = header.replace(/^# /, "").split(" ");
  const rows = linesOf(text).map((line) => {
    const values = line.split(" ").map(Number);
    if (values.length !== columns.length || values.some(Number.isNaN)) throw new Error(line);
    return Object.fromEntries(columns.map((column, index) => [column, values[index] ?? 0]));
  });
  return { columns, rows };
}

/** Tasks and files of a task graph. Throws on a line that has no known format. */
export function parseTaskGraph(text: string): {
  readonly files: readonly string[];
  readonly tasks: readonly {
    readonly id: string;
    readonly program: string;
    readonly inputs: readonly string[];
    readonly outputs: readonly string[];
  }[];
} {
  const files: string[] = [];
  const tasks = [];
  for (const line of linesOf(text)) {
    const file = /^FILE ([^\s"]+) "[^"\n]*" \d+$/.exec(line);
    if (file !== null) {
      files.push(file[1] ?? "");
      continue;
    }
    const found = /^TASK (T-?\d+) "([^"\n]*)" INPUTS ((?:[^\s"]+ )*)OUTPUTS((?: [^\s"]+)*) ?$/
      .exec(line);
    if (found === null) throw new Error(`No line of a task graph: ${line}`);
    const [, id = "", program = "", inputs = "", outputs = ""] = found;
    tasks.push({ id, program, inputs: words(inputs), outputs: words(outputs) });
  }
  return { files, tasks };
}

function linesOf(text: string): readonly string[] {
  if (!text.endsWith("\n")) throw new Error("The last line is cut off");
  return text.split("\n").slice(0, -1).filter((line) => !line.startsWith("#"));
}

function words(text: string): readonly string[] {
  return text.trim() === "" ? [] : text.trim().split(" ");
}

function parseLine(line: string, formats: readonly string[]): VineLine {
  for (const format of formats) {
    const values = valuesOf(line, format);
    if (values === undefined) continue;
    const json = values.findLast((value) => value.startsWith("{"));
    return { format, values, keys: json === undefined ? [] : keysOf(json) };
  }
  throw new Error(`No line of a transactions log: ${line}`);
}

/** Each value is `[number, unit]`. */
function keysOf(json: string): readonly string[] {
  return Object.entries(JSON.parse(json)).map(([key, value]) => {
    if (!Array.isArray(value) || typeof value[0] !== "number" || typeof value[1] !== "string") {
      throw new Error(`No amount: ${json}`);
    }
    return `${key} ${value[1]}`;
  });
}

function valuesOf(line: string, format: string): readonly string[] | undefined {
  // The third word is the subject, be it called as a place is.
  const [time, pid, subject, ...rest] = format.split(" ");
  const pattern = [time, pid, "", ...rest].map((place) => placeOf(place ?? ""));
  pattern[2] = subject ?? "";
  return new RegExp(`^${pattern.join(" ")}$`).exec(line)?.slice(1);
}

function placeOf(place: string): string {
  const pattern = PLACES[place];
  return pattern === undefined ? place : `(${pattern.source})`;
}
