/**
 * Names of the files that streams go to whose option is `AUTO`. A plug point.
 *
 * @module
 */

import { join } from "@std/path";

import type { StreamName } from "./executor.ts";

/** A call whose stream is to be named. */
export interface NamedCall {
  /** Its number. */
  readonly id: number;
  /** The name of the app. */
  readonly app: string;
  /** Of the call, if it has one. */
  readonly label: string | undefined;
  /** The folder of the run, if it has one; else one in the working directory. */
  readonly folder: string;
}

/** Gives the path of a file; the same call is given the same one. */
export type OutputNaming = (call: NamedCall, stream: StreamName) => string;

/** Characters of a name; the rest of an app's or a label is left out. */
const NAME_CHARS_MAX = 80;

/** Calls in one folder. */
const FOLDER_CALLS = 10_000;

/** `calls/0001/call_10007_align_lane-3.stderr` in the folder of the run, as Parsl names them. */
export const DEFAULT_NAMING: OutputNaming = (
  { id, app, label, folder }: NamedCall,
  stream: StreamName,
): string => {
  const group = String(Math.floor(id / FOLDER_CALLS)).padStart(4, "0");
  const names = [String(id).padStart(4, "0"), app, ...(label === undefined ? [] : [label])];
  const name = names.map(fileName).join("_");
  return join(folder, "calls", group, `call_${name}.${stream}`);
};

function fileName(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]+/g, "-").slice(0, NAME_CHARS_MAX);
}
