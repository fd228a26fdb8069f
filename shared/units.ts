/**
 * Sizes and durations as people write them. Inside, only bytes and milliseconds:
 * text exists at the edges (command line, configuration, options of mod.ts).
 */

/** Bytes in one of each unit: decimal as in "2GB", binary as in "2GiB". */
const SIZE_UNITS: { readonly [unit: string]: number } = {
  "": 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  kib: 1024,
  m: 1e6,
  mb: 1e6,
  mib: 1024 ** 2,
  g: 1e9,
  gb: 1e9,
  gib: 1024 ** 3,
  t: 1e12,
  tb: 1e12,
  tib: 1024 ** 4,
};

/** Milliseconds in one of each unit. */
const DURATION_UNITS: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
  d: 24 * 3600e3,
};

const SIZE_WANTED = 'a size: a number of bytes, or text such as "2GB" or "512MiB"';
const DURATION_WANTED =
  'a duration: a number of milliseconds, or text such as "500ms", "10s", "10m" or "2h"';

/**
 * Bytes of a number or of text such as `"2GB"`.
 *
 * @throws {RangeError} When `value` is not a size; the message names `what`.
 */
export function parseSize(value: unknown, what: string): number {
  if (typeof value === "number") return checkAmount(value, what, SIZE_WANTED);
  const match = typeof value === "string" && /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(value);
  const unit = match ? SIZE_UNITS[(match[2] ?? "").toLowerCase()] : undefined;
  if (!match || unit === undefined) throw refusal(value, what, SIZE_WANTED);
  return checkAmount(Math.round(Number(match[1]) * unit), what, SIZE_WANTED);
}

/** Less memory than that is a number that lacks its unit: the smallest process has more. */
const MEMORY_BYTES_MIN = 1e6;

/**
 * Bytes of memory, as `parseSize` reads them; 0 is none.
 *
 * @throws {RangeError} When `value` is not a size, or one that no process can live with.
 */
export function parseMemory(value: unknown, what: string): number {
  const bytes = parseSize(value, what);
  if (bytes === 0 || bytes >= MEMORY_BYTES_MIN) return bytes;
  throw new RangeError(
    `Cannot take ${what} "${value}" as memory: ${bytes} bytes hold no process; ` +
      'state the unit, as "2GB" or "512MiB"',
  );
}

/**
 * Milliseconds of a number or of text such as `"10m"` or `"1h 30m"`.
 *
 * @throws {RangeError} When `value` is not a duration; the message names `what`.
 */
export function parseDuration(value: unknown, what: string): number {
  if (typeof value === "number") return checkAmount(value, what, DURATION_WANTED);
  if (typeof value !== "string" || !/^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+$/.test(value)) {
    throw refusal(value, what, DURATION_WANTED);
  }
  let ms = 0;
  for (const [, amount, unit] of value.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)/g)) {
    ms += Number(amount) * (DURATION_UNITS[unit ?? ""] ?? 0);
  }
  return checkAmount(ms, what, DURATION_WANTED);
}

/** A size for people, as `"1.5 MB"`. */
export function formatSize(bytes: number): string {
  let amount = bytes;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (amount < 999.5) return `${formatAmount(amount)} ${unit}`;
    amount /= 1000;
  }
  return `${formatAmount(amount)} TB`;
}

/** A duration for people, as `"12.3 s"` or `"2 h 5 m"`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${formatAmount(ms)} ms`;
  if (ms < 59_950) return `${formatAmount(ms / 1000)} s`;
  const minutes = Math.round(ms / 60e3);
  if (minutes < 60) return `${minutes} m`;
  return minutes % 60 === 0
    ? `${minutes / 60} h`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} m`;
}

/** Three digits that count, without zeros at the end of a fraction. */
function formatAmount(amount: number): string {
  return String(Number(amount.toPrecision(3)));
}

function checkAmount(amount: number, what: string, wanted: string): number {
  if (!Number.isFinite(amount) || amount < 0 || amount > Number.MAX_SAFE_INTEGER) {
    throw refusal(amount, what, wanted);
  }
  return amount;
}

function refusal(value: unknown, what: string, wanted: string): RangeError {
  const shown = typeof value === "string" || typeof value === "number" ? value : typeof value;
  return new RangeError(`Cannot read ${what} "${shown}" as ${wanted}`);
}
