/**
 * What a relative path from outside may look like before it is joined to a directory of ours.
 *
 * Mounts and the entries of archives and trees pass through here. Only the text is judged; that no
 * part of the path is a symbolic link on disk is the business of whoever opens it.
 */

/** UTF-8 bytes of a whole path: PATH_MAX of Linux, less its NUL. */
export const PATH_BYTES_MAX = 4_095;
/** UTF-8 bytes of one part: NAME_MAX of every common file system. */
export const PATH_PART_BYTES_MAX = 255;
/** Parts of one path; real environments stay below 40. */
export const PATH_DEPTH_MAX = 128;

/** Bounds on one path; what is left out is the constant of the same name. */
export interface PathLimits {
  readonly pathBytesMax?: number;
  readonly pathDepthMax?: number;
}

/**
 * Returns why `path` may not be used below a directory of ours, or undefined when it may.
 *
 * The parts must be in normal form: no empty part, no ".", no "..".
 */
export function findPathFault(path: string, limits: PathLimits = {}): string | undefined {
  const bytesMax = limits.pathBytesMax ?? PATH_BYTES_MAX;
  const depthMax = limits.pathDepthMax ?? PATH_DEPTH_MAX;
  if (path === "") return "it is empty";
  if (path.length > bytesMax || utf8Length(path) > bytesMax) {
    return `it is longer than ${bytesMax} bytes`;
  }
  if (path.startsWith("/")) return "it is absolute";
  if (path.includes("\0")) return "it has a NUL character";
  if (!path.isWellFormed() || path.includes("\ufffd")) return "its name is not UTF-8";
  const parts = path.split("/");
  if (parts.length > depthMax) return `it is deeper than ${depthMax} parts`;
  for (const part of parts) {
    if (part === "") return "it has an empty part";
    if (part === "." || part === "..") return `it has a "${part}" part`;
    if (part.length * 3 > PATH_PART_BYTES_MAX && utf8Length(part) > PATH_PART_BYTES_MAX) {
      return `it has a part longer than ${PATH_PART_BYTES_MAX} bytes`;
    }
  }
  return undefined;
}

/** Orders two names as their UTF-8 bytes do, which UTF-16 order does not beyond U+D7FF. */
export function compareNames(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a !== b) return codePointRank(a) - codePointRank(b);
  }
  return left.length - right.length;
}

/** Moves surrogates, which stand for U+10000 and above, behind U+E000 to U+FFFF. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** Returns how many bytes `text` takes in UTF-8, without making them. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    // A surrogate pair is two units and four bytes: two bytes a unit, as below U+0800.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
  }
  return bytes;
}
