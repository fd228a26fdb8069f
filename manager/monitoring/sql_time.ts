/**
 * Instants as Parsl's tables have them: what SQLAlchemy writes for a DATETIME on SQLite, which is
 * `%(year)04d-%(month)02d-%(day)02d %(hour)02d:%(minute)02d:%(second)02d.%(microsecond)06d` of local
 * time (sqlalchemy/dialects/sqlite/base.py).
 *
 * @module
 */

/** Seconds that are remembered as text: those of one batch are mostly the same. */
const SECONDS_MAX = 64;

const seconds = new Map<number, string>();

/** Of one task many instants are the same. */
let last = { atMs: Number.NaN, text: "" };

/** The text of an instant in epoch milliseconds. */
export function sqlTime(atMs: number): string {
  if (last.atMs !== atMs) last = { atMs, text: textOf(atMs) };
  return last.text;
}

/** The same, where there may be none. */
export function sqlTimeOrNull(atMs: number | undefined): string | null {
  return atMs === undefined ? null : sqlTime(atMs);
}

function textOf(atMs: number): string {
  const atUs = Math.round(atMs * 1000);
  const second = Math.floor(atUs / 1_000_000);
  // A digit before, which goes again: quicker than to fill up with zeros.
  return secondText(second) + String(1_000_000 + atUs - second * 1_000_000).slice(1);
}

function secondText(second: number): string {
  const known = seconds.get(second);
  if (known !== undefined) return known;
  if (seconds.size >= SECONDS_MAX) seconds.clear();
  const date = new Date(second * 1000);
  const two = (part: number) => String(part).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const text = `${day} ${time}.`;
  seconds.set(second, text);
  return text;
}
