/**
 * The path of an environment in the bytes of its files, and a placeholder put in its place.
 *
 * It is the reverse of what conda does at installation: conda, gateways/disk/update_prefix and
 * core/portability.py, as quoted in conda-pack's prefixes.py.
 */

import { Buffer } from "node:buffer";

/**
 * What stands for the path in an archive: 255 bytes as in conda's own packages, since in a program
 * the path it is replaced by can be no longer. Found nowhere else, so that replacing it twice does
 * no harm.
 */
export const PLACEHOLDER: string = `/tendril${"_placehold".repeat(25)}`.slice(0, 255);

/** The byte that ends a string in a program. */
const NUL = 0;
const SLASH = 0x2f;
const DOT = 0x2e;
/** How far back a path is followed to see whether it began before the match. */
const PATH_BYTES_MAX = 4_096;

/** Where the path stands in the bytes of a file. */
export interface PrefixMatch {
  readonly atByte: number;
  readonly lengthBytes: number;
}

/**
 * Returns where one of `prefixes` stands in `bytes` as the start of a path, in order.
 *
 * "/opt/env" is neither in "/opt/env2" nor in "/mnt/opt/env", but in "-L/opt/env/lib" it is.
 */
export function findPrefixes(bytes: Buffer, prefixes: readonly Buffer[]): PrefixMatch[] {
  const matches: PrefixMatch[] = [];
  for (const prefix of prefixes) {
    for (let at = bytes.indexOf(prefix); at !== -1; at = bytes.indexOf(prefix, at + 1)) {
      if (goesOn(bytes, at + prefix.length) || beganBefore(bytes, at)) continue;
      matches.push({ atByte: at, lengthBytes: prefix.length });
    }
  }
  matches.sort((a, b) => a.atByte - b.atByte || b.lengthBytes - a.lengthBytes);
  let endByte = 0;
  return matches.filter(({ atByte, lengthBytes }) => {
    // One of the names may be in another.
    if (atByte < endByte) return false;
    endByte = atByte + lengthBytes;
    return true;
  });
}

/** Returns `bytes` of text with `placeholder` at each of `matches`. */
export function withPlaceholder(
  bytes: Buffer,
  matches: readonly PrefixMatch[],
  placeholder: string,
): Buffer {
  const parts: Buffer[] = [];
  const inPlace = Buffer.from(placeholder);
  let at = 0;
  for (const { atByte, lengthBytes } of matches) {
    parts.push(bytes.subarray(at, atByte), inPlace);
    at = atByte + lengthBytes;
  }
  parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
}

/** A program with a placeholder where there was room. */
export interface ReplacedBinary {
  readonly bytes: Buffer;
  readonly replacedCount: number;
  /** Matches left as they are: no NULs follow their string that would be the placeholder's room. */
  readonly leftCount: number;
}

/**
 * Returns `bytes` of a program with `placeholder` at those `matches` whose string is followed by as
 * many NULs as it grows: what conda left there. Nothing moves.
 */
export function withPlaceholderInBinary(
  bytes: Buffer,
  matches: readonly PrefixMatch[],
  placeholder: string,
): ReplacedBinary {
  const replaced = Buffer.from(bytes);
  let replacedCount = 0;
  let leftCount = 0;
  for (let index = 0; index < matches.length;) {
    const startByte = matches[index]?.atByte ?? 0;
    const endByte = bytes.indexOf(NUL, startByte);
    const inString: PrefixMatch[] = [];
    for (let match = matches[index]; match !== undefined; match = matches[++index]) {
      if (endByte !== -1 && match.atByte > endByte) break;
      inString.push({ ...match, atByte: match.atByte - startByte });
    }
    const string = bytes.subarray(startByte, endByte === -1 ? bytes.length : endByte);
    const longer = withPlaceholder(string, inString, placeholder);
    if (endByte === -1 || !hasRoom(bytes, endByte, longer.length - string.length)) {
      leftCount += inString.length;
      continue;
    }
    replaced.fill(NUL, startByte, endByte);
    longer.copy(replaced, startByte);
    replacedCount += inString.length;
  }
  return { bytes: replaced, replacedCount, leftCount };
}

/** Whether the NUL at `atByte` is followed by `growthBytes` more of them. */
function hasRoom(bytes: Buffer, atByte: number, growthBytes: number): boolean {
  const end = atByte + 1 + Math.max(0, growthBytes);
  if (end > bytes.length) return false;
  for (let at = atByte; at < end; at++) if (bytes[at] !== NUL) return false;
  return true;
}

/** Whether the name that ends before `at` does not end there, as in "/opt/env2". */
function goesOn(bytes: Buffer, at: number): boolean {
  // A full stop may end a sentence, and only then the path.
  return isNameByte(bytes[at] === DOT ? bytes[at + 1] : bytes[at]);
}

/** Whether the path at `at` began before it, as in "/mnt/opt/env", and not only in "-L/opt/env". */
function beganBefore(bytes: Buffer, at: number): boolean {
  // "./opt/env" and "../opt/env" are relative.
  if (bytes[at - 1] === DOT) return true;
  if (!isNameByte(bytes[at - 1])) return false;
  for (let before = at - 1; before >= Math.max(0, at - PATH_BYTES_MAX); before--) {
    const byte = bytes[before];
    if (byte === SLASH) return true;
    if (!isNameByte(byte) && byte !== DOT) return false;
  }
  return false;
}

/** Letters, digits and what else the name of a directory has: "+", "-", "@", "_", "~", not ASCII. */
function isNameByte(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  if (byte >= 0x80) return true;
  return /[A-Za-z0-9+\-@_~]/.test(String.fromCharCode(byte));
}
