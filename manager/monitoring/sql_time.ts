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

/** `000` to `999`: half the work of filling up with zeros. */
const THREE_DIGITS: readonly string[] = Array.from(
  { length: 1_000 },
  (_, number) => String(number).padStart(3, "0"),
);

/** Instants that are remembered as text: each of the few of one task stands in several rows. */
const INSTANTS_MAX = 16;

const instants: number[] = Array.from({ length: INSTANTS_MAX }, () => Number.NaN);
const texts: string[] = Array.from({ length: INSTANTS_MAX }, () => "");

/** The text of an instant in epoch milliseconds. */
export function sqlTime(atMs: number): string {
  const atUs = Math.round(atMs * 1000);
  const index = atUs & (INSTANTS_MAX - 1);
  if (instants[index] !== atUs) {
    instants[index] = atUs;
    texts[index] = textOf(atUs);
  }
  return texts[index] ?? "";
}

/** The same, where there may be none. */
export function sqlTimeOrNull(atMs: number | undefined): string | null {
  return atMs === undefined ? null : sqlTime(atMs);
}

function textOf(atUs: number): string {
  const second = Math.floor(atUs / 1_000_000);
  const fraction = atUs - second * 1_000_000;
  const thousands = Math.floor(fraction / 1_000);
  const rest = fraction - thousands * 1_000;
  return secondText(second) + (THREE_DIGITS[thousands] ?? "") + (THREE_DIGITS[rest] ?? "");
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
