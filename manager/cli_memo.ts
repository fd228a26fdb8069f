/**
 * `tendril memo`: the results of app calls that are remembered in a file, and their removal.
 *
 * With `--json` it prints one document of version 1: `list` `{ version, file, count, entries:
 * MemoSummary[] }`, the oldest first, of which `--limit` are shown; `show` `{ version, file, entry }`,
 * a `MemoEntry` whose value has its bytes as `sizeBytes` and, as text, what they are; `forget`
 * `{ version, file, forgotten }`, how many.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { inspect } from "node:util";

import { resolve } from "@std/path";

import { unreachable } from "../shared/assert.ts";
import { type CommandArguments, type CommandSpec, UsageError } from "../shared/command_line.ts";
import { stripControls } from "../shared/plain_text.ts";
import { formatDuration, formatSize } from "../shared/units.ts";
import { decodeValue } from "../shared/value.ts";
import { JSON_OPTION } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { readDuration } from "./cli_values.ts";
import { isMemoKey } from "./dataflow/memo_entry.ts";
import type {
  MemoEntry,
  MemoFilter,
  MemoPlace,
  MemoStore,
  MemoSummary,
} from "./dataflow/memo_store.ts";
import { MEMO_FILE, SqliteMemoStore } from "./dataflow/sqlite_memo_store.ts";
import { type Column, formatTable, outputSize } from "./table.ts";

/** Of the documents that `--json` prints. */
const MEMO_VERSION = 1;

/** Entries that are listed where nobody says how many. */
const LIST_MAX = 1_000;

/** Digits of a key that a list shows, and that are enough to say which is meant. */
const SHOWN_DIGITS = 12;
const KEY_DIGITS_MIN = 4;

/** Characters of what is shown of a value. */
const VALUE_CHARS_MAX = 2_000;

const ACTIONS = ["list", "show", "forget"] as const;

const SPEC: CommandSpec = {
  name: "memo",
  usage: "tendril memo [list | show KEY | forget --app NAME --older-than TIME --key KEY | --all]",
  summary: "list, show and forget remembered results of app calls",
  example: "tendril memo forget --older-than 30d",
  options: {
    file: { value: "FILE", help: `where they are; default: ${MEMO_FILE}` },
    app: { value: "NAME", help: "list, forget: results of that app" },
    "older-than": { value: "TIME", help: "list, forget: results made before that, as 30d or 12h" },
    key: { value: "KEY", help: "list, forget: the one of that key, or of its first digits" },
    all: { help: "forget: all of them" },
    limit: { value: "N", help: `list: the newest N; default: ${LIST_MAX}` },
    json: JSON_OPTION,
  },
  operands: { values: ACTIONS },
  notes: [
    "What several options say must all be so. Workflows that run may use the file meanwhile.",
  ],
};

/** The command. */
export const MEMO_COMMAND: Command = { spec: SPEC, run };

/** What an action works on. */
interface Memo {
  readonly given: CommandArguments;
  readonly file: string;
  /** Absent where there is no file, and nobody has said that there is one. */
  readonly store: MemoStore | undefined;
}

async function run({ given }: Call): Promise<number> {
  const [text = "list", ...operands] = given.positionals;
  const action = ACTIONS.find((one) => one === text);
  if (action === undefined) {
    throw new UsageError(
      `Cannot run "memo ${text}" as a command: expected list, show KEY or forget`,
    );
  }
  checkArguments(action, given, operands);
  const stated = given.text("file");
  const file = resolve(stated ?? MEMO_FILE);
  await using store = stated !== undefined || existsSync(file)
    ? await SqliteMemoStore.open({ path: file, isNewAllowed: false })
    : undefined;
  const memo: Memo = { given, file, store };
  switch (action) {
    case "list":
      return await list(memo);
    case "show":
      return await show(memo, operands[0] ?? "");
    case "forget":
      return await forget(memo);
    default:
      return unreachable(action);
  }
}

function checkArguments(
  action: typeof ACTIONS[number],
  given: CommandArguments,
  operands: readonly string[],
): void {
  const isFiltered = ["app", "older-than", "key"].some((name) => given.text(name) !== undefined);
  const isAll = given.flag("all");
  const extra = operands[action === "show" ? 1 : 0];
  if (extra !== undefined) throw new UsageError(`Cannot ${action} "${extra}": not expected`);
  if (action === "show" && (operands.length === 0 || isFiltered || isAll)) {
    throw new UsageError("Cannot show a result: expected one key, as list shows it");
  }
  if (action === "list" && isAll) throw new UsageError("Cannot list with --all: it is for forget");
  if (action === "forget" && isAll === isFiltered) {
    throw new UsageError(
      "Cannot forget without knowing what: expected --app, --older-than or --key; or --all",
    );
  }
  // Before anything is opened.
  readLimit(given.text("limit"));
  readAge(given);
  for (const digits of [given.text("key"), operands[0]]) {
    if (digits !== undefined) checkDigits(digits);
  }
}

async function list({ given, file, store }: Memo): Promise<number> {
  const limit = readLimit(given.text("limit"));
  const newest: MemoSummary[] = [];
  let [count, sizeBytes] = [0, 0];
  for await (const summary of store?.list(await filterOf(given, store)) ?? []) {
    count += 1;
    sizeBytes += summary.sizeBytes;
    newest.push(summary);
    // Not at each, so that it does not cost a shift of all the others each time.
    if (newest.length >= 2 * limit) newest.splice(0, newest.length - limit);
  }
  const entries = newest.slice(-limit);
  if (given.flag("json")) {
    return await printJson({ version: MEMO_VERSION, file, count, entries });
  }
  const shown = entries.length < count ? `; the newest ${entries.length} are shown` : "";
  await print(formatTable(COLUMNS, entries, outputSize()));
  return await print(
    `${count} ${count === 1 ? "result" : "results"}, ${formatSize(sizeBytes)}${shown}\n`,
  );
}

const COLUMNS: readonly Column<MemoSummary>[] = [
  { title: "KEY", text: ({ key }) => key.slice(0, SHOWN_DIGITS) },
  { title: "APP", text: ({ app }) => app },
  {
    title: "AGE",
    isRight: true,
    text: ({ madeAtMs }) => formatDuration(Math.max(0, Date.now() - madeAtMs)),
  },
  { title: "RAN", isRight: true, text: ({ ranMs }) => formatDuration(ranMs) },
  { title: "SIZE", isRight: true, text: ({ sizeBytes }) => formatSize(sizeBytes) },
  { title: "WHERE", text: ({ valueKind }) => valueKind === "kept" ? "workers" : "here" },
  { title: "OUTPUTS", isRight: true, text: ({ outputCount }) => String(outputCount) },
  { title: "CALL", isFlexible: true, text: ({ call }) => call },
];

async function show({ given, file, store }: Memo, digits: string): Promise<number> {
  const key = await findKey(store, digits);
  const [entry] = await store?.get([key]) ?? [];
  if (entry === undefined) {
    throw new Error(`Cannot show "${key}": it cannot be read; "memo forget --key" removes it`);
  }
  if (given.flag("json")) {
    return await printJson({ version: MEMO_VERSION, file, entry: documentOf(entry) });
  }
  return await print(stripControls(describe(entry)));
}

async function forget({ given, file, store }: Memo): Promise<number> {
  const filter = given.flag("all") ? "all" : await filterOf(given, store);
  const forgotten = await store?.forget(filter) ?? 0;
  if (given.flag("json")) return await printJson({ version: MEMO_VERSION, file, forgotten });
  return await print(`forgot ${forgotten} results\n`);
}

async function filterOf(
  given: CommandArguments,
  store: MemoStore | undefined,
): Promise<MemoFilter> {
  const [app, ageMs, digits] = [given.text("app"), readAge(given), given.text("key")];
  return {
    ...(app === undefined ? {} : { app }),
    ...(ageMs === undefined ? {} : { madeBeforeMs: Date.now() - ageMs }),
    ...(digits === undefined ? {} : { key: await findKey(store, digits) }),
  };
}

/** The one key that begins with these digits. */
async function findKey(store: MemoStore | undefined, digits: string): Promise<string> {
  const found: string[] = [];
  const filter = isMemoKey(digits) ? { key: digits } : {};
  for await (const { key } of store?.list(filter) ?? []) {
    if (key.startsWith(digits)) found.push(key);
    if (found.length > 1) throw new Error(`Cannot tell which is "${digits}": several begin so`);
  }
  const [key] = found;
  if (key === undefined) throw new Error(`Cannot find "${digits}": no result has such a key`);
  return key;
}

function checkDigits(digits: string): void {
  if (/^[0-9a-f]{1,64}$/.test(digits) && digits.length >= KEY_DIGITS_MIN) return;
  throw new UsageError(
    `Cannot read "${digits}" as a key: expected at least ${KEY_DIGITS_MIN} digits, 0 to f`,
  );
}

function readAge(given: CommandArguments): number | undefined {
  const text = given.text("older-than");
  return text === undefined ? undefined : readDuration(text, "older-than");
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return LIST_MAX;
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new UsageError(`Cannot read --limit "${text}" as a number of results`);
}

function documentOf(entry: MemoEntry): object {
  const { value } = entry;
  if (value.kind === "kept") return entry;
  const sizeBytes = value.bytes.length;
  return { ...entry, value: { kind: value.kind, sizeBytes, text: textOf(value.bytes) } };
}

function describe(entry: MemoEntry): string {
  const { key, app, madeAtMs, ranMs, value, outputs, stdout, stderr, dependsOn, call } = entry;
  const lines: (readonly [string, string])[] = [
    ["key", key],
    ["app", app],
    ["call", call ?? ""],
    ["made", new Date(madeAtMs).toISOString()],
    ["ran", formatDuration(ranMs)],
    ["value", value.kind === "kept" ? placeText(value) : textOf(value.bytes)],
    ...Object.entries(outputs).map(([name, place]) =>
      [`output ${name}`, placeText(place)] as const
    ),
    ["stdout", stdout === undefined ? "" : placeText(stdout)],
    ["stderr", stderr === undefined ? "" : placeText(stderr)],
    ...(dependsOn ?? []).map((one) => ["used", one] as const),
  ];
  return lines.filter(([, text]) => text !== "")
    .map(([name, text]) => `${name}: ${text}\n`).join("");
}

function placeText(place: MemoPlace): string {
  switch (place.kind) {
    case "kept":
      return `${place.file.name}, ${formatSize(place.file.size)}, kept by workers`;
    case "path":
      return `${place.path}, ${formatSize(place.sizeBytes)}`;
    case "url":
      return `${place.url}, ${formatSize(place.sizeBytes)}`;
    default:
      return unreachable(place);
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    const text = inspect(decodeValue(bytes), { depth: 8 });
    return text.length <= VALUE_CHARS_MAX ? text : `${text.slice(0, VALUE_CHARS_MAX)}…`;
  } catch {
    // Whatever wrote them, they are no value of ours.
    return `${bytes.length} bytes that are no value`;
  }
}
