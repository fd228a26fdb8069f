/**
 * Numbers, instants and amounts as the pages show them. What is not known is a dash.
 *
 * @module
 */

import { formatDuration, formatSize } from "../../../shared/units.ts";

/** Shown for what is not known. */
export const UNKNOWN = "–";

/** Of longer ids of workers so much is shown. */
const ID_CHARS_MAX = 12;
const ID_CHARS = 8;

/** A count with its thousands apart. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Bytes with their unit. */
export function bytes(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : formatSize(value);
}

/** A length of time. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return UNKNOWN;
  if (ms > 0 && ms < 0.1) return "<0.1 ms";
  if (ms > 0 && ms < 1) return `${Number(ms.toFixed(1))} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60 || seconds >= 3600) return formatDuration(Math.max(0, ms));
  return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
}

/** Cores and other amounts that may have a fraction. */
export function amount(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (Math.abs(value) >= 1000) return count(value);
  if (value > 0 && value < 0.01) return "<0.01";
  const size = Math.abs(value);
  return String(Number(value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)));
}

/** Time until something ends, which nobody knows to the millisecond. */
export function remaining(ms: number): string {
  return ms < 1000 ? "under 1 s" : duration(ms);
}

/** So many a second. */
export function rate(perSecond: number | null | undefined): string {
  return perSecond === null || perSecond === undefined ? UNKNOWN : `${amount(perSecond)}/s`;
}

/** A part of a whole, in percent. */
export function percent(part: number, whole: number): string {
  return whole > 0 ? `${Math.round(part / whole * 100)} %` : UNKNOWN;
}

/** Time of day, with the day when it is not that of `besideMs`. */
export function instant(atMs: number | null | undefined, besideMs?: number): string {
  if (atMs === null || atMs === undefined) return UNKNOWN;
  const at = new Date(atMs);
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(":");
  if (besideMs !== undefined && new Date(besideMs).toDateString() === at.toDateString()) {
    return time;
  }
  const day = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map(twoDigits).join("-");
  return `${day} ${time}`;
}

/** `word`, or its plural, after its number. */
export function plural(value: number, word: string, words: string = `${word}s`): string {
  return `${count(value)} ${value === 1 ? word : words}`;
}

/** A text of at most so many characters: the middle of what is longer is left out. */
export function shorten(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text;
  const tail = Math.floor((lengthMax - 1) / 3);
  return `${text.slice(0, lengthMax - 1 - tail)}…${text.slice(text.length - tail)}`;
}

/** Enough of a worker's id to tell it from others; a title tells it whole. */
export function shortId(workerId: string): string {
  return workerId.length > ID_CHARS_MAX ? workerId.slice(0, ID_CHARS) : workerId;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
