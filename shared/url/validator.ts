/**
 * What a server says by which contents are known again: its ETag, else its Last-Modified.
 *
 * RFC 9110, section 8.8. A strong ETag promises equal bytes. A Last-Modified does so when the
 * answer was made at least a second later by the same clock (8.8.2.2); with the length besides,
 * it names contents. A weak ETag promises that one answer is as good as the other, which is what
 * every HTTP cache relies on when it serves one for the other: it names contents too, along with
 * the length and the Last-Modified; but bytes of two answers are never joined by it.
 *
 * @module
 */

import { contentLengthOf } from "./content_range.ts";

/** Longer ones than this are none. */
const TAG_CHARS_MAX = 1024;

/** How much older than its answer a document must be for its time to say which one it is. */
const AGE_MS_MIN = 1_000;

/** Stands for the length of an answer that does not tell it. */
const NO_LENGTH = "-";

/**
 * One text for what the headers say of which contents these are; empty when they say nothing.
 * `lengthBytes` is of the whole, where it is not that of the answer.
 */
export function statedValidatorOf(headers: Headers, lengthBytes?: number): string {
  const tag = tagOf(headers);
  if (isStrong(tag)) return tag;
  const modifiedMs = modifiedMsOf(headers);
  if (tag === "" && Number.isNaN(modifiedMs)) return "";
  const modified = Number.isNaN(modifiedMs) ? "" : new Date(modifiedMs).toISOString();
  const length = lengthBytes ?? contentLengthOf(headers);
  return [tag, modified, length < 0 ? NO_LENGTH : String(length)].join("\n");
}

/** True when what the headers say is enough to tell these contents from all others of the url. */
export function canName(headers: Headers): boolean {
  return tagOf(headers) !== "" || isOld(headers);
}

/** True when an answer of validator `found` is of the contents that were named by `named`. */
export function agrees(named: string, found: string): boolean {
  if (named === found) return true;
  const [one, other] = [splitLength(named), splitLength(found)];
  if (one === undefined || other === undefined || one.rest !== other.rest) return false;
  // Some servers tell a length to HEAD and none to GET, or the other way round.
  return one.length === NO_LENGTH || other.length === NO_LENGTH;
}

/** What makes the rest of an answer be asked for (`If-Range`); empty when nothing does. */
export function rangeValidatorOf(headers: Headers): string {
  const tag = tagOf(headers);
  if (tag !== "") return isStrong(tag) ? tag : "";
  return isOld(headers) ? headers.get("Last-Modified") ?? "" : "";
}

/** True when the headers promise the very bytes that a strong `validator` is of. */
export function isSameBytes(validator: string, headers: Headers): boolean {
  return isStrong(validator) && headers.get("ETag") === validator;
}

/** True when a part with these headers is of the same bytes as the one of `validator`. */
export function isSameRepresentation(validator: string, headers: Headers): boolean {
  if (isStrong(validator)) return isSameBytes(validator, headers);
  // A part of an answer need not repeat it: RFC 9110, section 15.3.7.
  const modified = headers.get("Last-Modified");
  return validator !== "" && (modified === null || modified === validator);
}

/** A validator as a message shows it. */
export function shownValidator(validator: string): string {
  if (validator === "" || isStrong(validator)) return validator === "" ? "nothing" : validator;
  const [tag = "", modified = "", length = NO_LENGTH] = validator.split("\n");
  const shown = [tag, modified, length === NO_LENGTH ? "" : `${length} bytes`];
  return shown.filter((text) => text !== "").join(", ");
}

function tagOf(headers: Headers): string {
  const tag = headers.get("ETag")?.trim() ?? "";
  // RFC 9110, section 8.8.3; some servers leave the quotes out, or all that is in them.
  const isGood = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]+"$/.test(tag);
  return isGood && tag.length <= TAG_CHARS_MAX ? tag : "";
}

function isStrong(tag: string): boolean {
  return tag.startsWith('"');
}

/** NaN when the answer does not say. */
function modifiedMsOf(headers: Headers): number {
  return Date.parse(headers.get("Last-Modified") ?? "");
}

/** The document is old enough for its time to say which one it is. */
function isOld(headers: Headers): boolean {
  // False of what is no date as well.
  return Date.parse(headers.get("Date") ?? "") - modifiedMsOf(headers) >= AGE_MS_MIN;
}

function splitLength(validator: string): { rest: string; length: string } | undefined {
  const at = validator.lastIndexOf("\n");
  if (at < 0) return undefined;
  return { rest: validator.slice(0, at), length: validator.slice(at + 1) };
}
