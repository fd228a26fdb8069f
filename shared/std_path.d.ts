/**
 * Types of the functions of `@std/path` that this project uses. The name is mapped to the npm
 * package `deno-std`, which carries the same code and no types, because JSR is out of reach of
 * many clusters. Copied from the signatures in `deno-std/path`; add a function when it is used.
 */
declare module "@std/path" {
  /** The separator of this system's paths, `/` on POSIX. */
  export const SEPARATOR: "/" | "\\";

  /** Last part of `path`, without `suffix` when it ends in it. */
  export function basename(path: string | URL, suffix?: string): string;

  /** `path` without its last part. */
  export function dirname(path: string | URL): string;

  /** Extension of `path` with its dot, or an empty string. */
  export function extname(path: string | URL): string;

  /** Path of a `file:` URL. */
  export function fromFileUrl(url: string | URL): string;

  /** Whether `path` does not depend on the working directory. */
  export function isAbsolute(path: string): boolean;

  /** Joins parts and normalizes the result; `.` when there is nothing to join. */
  export function join(path?: string | URL, ...paths: string[]): string;

  /** `path` with `..`, `.` and double separators resolved. */
  export function normalize(path: string | URL): string;

  /** Path that leads from one to the other, both taken from the working directory. */
  export function relative(from: string, to: string): string;

  /** Absolute path of the parts, right to left, else from the working directory. */
  export function resolve(...pathSegments: string[]): string;

  /** `file:` URL of an absolute path. */
  export function toFileUrl(path: string): URL;
}
