/** The arguments of a try as bytes, for executors that have no manager to carry them. */

import {
  closeGaps,
  decodeArguments,
  encodeArguments,
  encodeValueFile,
} from "../../shared/value.ts";
import { messageOf } from "./app_error.ts";
import type { AppTry } from "./executor.ts";
import { PlacedFile } from "./placed_file.ts";
import { StoredValue } from "./stored_value.ts";

/** Arguments, and what they refer to by index. */
export interface EncodedTry {
  readonly bytes: Uint8Array;
  /** Files of which the function has the paths; behind them the paths of files that hold values. */
  readonly files: readonly (PlacedFile | string)[];
}

/**
 * Encodes the arguments of a try: what becomes of the objects afterwards does not reach it.
 *
 * @throws {TypeError | RangeError} When one cannot travel, with its path in the arguments.
 */
export function encodeTry({ app, args }: Pick<AppTry, "app" | "args">): EncodedTry {
  try {
    const { bytes, files, gaps } = encodeArguments<PlacedFile, string>(args, {
      onFile: (value) => value instanceof PlacedFile ? value : undefined,
      onHandle: (value) => {
        return value instanceof StoredValue && value.content.kind === "file"
          ? value.content.path
          : undefined;
      },
    });
    if (gaps.length === 0) return { bytes, files };
    const values = gaps.map((_gap, index) => encodeValueFile(files.length + index));
    return {
      bytes: closeGaps({ bytes, gaps }, values),
      files: [...files, ...gaps.map(({ handle }) => handle)],
    };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new TypeError(`Cannot call "${app}": ${messageOf(error)}`, { cause: error });
  }
}

/** The arguments again; `paths` are those of `files`. */
export function decodeTry(
  { bytes }: EncodedTry,
  paths: readonly string[],
  readFile: (path: string) => Uint8Array,
): unknown[] {
  const fileAt = (index: number): string => paths[index] ?? "";
  return decodeArguments(bytes, { fileAt, readFile: (index) => readFile(fileAt(index)) });
}
