/** Commands of apps: made here by their functions, with files by the names that they have there. */

import { FileHandle } from "../file_handle.ts";
import { type CallRecord, valueOf } from "./call.ts";
import type { DependencyResolver } from "./dependency.ts";
import { File, MountedFile } from "./file.ts";
import { AppFuture, callOf, DataFile, DataFuture } from "./future.ts";
import { mapLeaves } from "./leaves.ts";
import { PlacedFile } from "./placed_file.ts";
import { readStored } from "./stored_value.ts";

/** A file that a command reads, before it is brought to it. */
export type FileSource = File | DataFuture | FileHandle | PlacedFile;

/** What a call of a command app runs. */
export interface MadeCommand {
  readonly command: string;
  /** `{mount: file}` */
  readonly sources: ReadonlyMap<string, FileSource>;
}

/** Characters of a name that a shell and every tool take as they are. */
const UNSAFE = /[^A-Za-z0-9._+=-]+/g;

/** Folder of the inputs of commands, apart from what they make. */
const INPUT_FOLDER = "in";

/**
 * Has the function of the app make the command.
 *
 * @throws {TypeError} When it returns something else; whatever the function throws.
 */
export async function makeCommand(
  call: CallRecord,
  resolver: DependencyResolver,
): Promise<MadeCommand> {
  const { name, fn } = call.recipe;
  if (fn === undefined) throw new TypeError(`Cannot run "${name}": it has no function`);
  const known = resolver.map(call.args, (found) => {
    if (call.promised?.values.has(found) === true) return call.promised.values.get(found);
    return found instanceof AppFuture ? valueOf(callOf(found)) : found;
  });
  const sources = new Map<string, FileSource>();
  const taken = new Set(Object.keys(call.recipe.inputs ?? {}));
  const mounted = new Map<FileSource, MountedFile>();
  const args = mapLeaves(await readStored(known), (leaf) => {
    const source = sourceOf(leaf);
    if (source === undefined) return leaf;
    const file = mounted.get(source) ?? mountFile(source, sources, taken);
    mounted.set(source, file);
    return file;
  }) as readonly never[];
  const command: unknown = await fn(...args);
  if (typeof command === "string" && command.trim() !== "") return { command, sources };
  throw new TypeError(
    `Cannot run "${name}": its function returned "${String(command)}" and not a command as text`,
  );
}

/** The file that is meant; undefined of anything else. */
export function sourceOf(leaf: object): FileSource | undefined {
  if (leaf instanceof DataFile) return leaf.future;
  const isFile = leaf instanceof DataFuture || leaf instanceof File || leaf instanceof FileHandle;
  return isFile ? leaf : undefined;
}

/** How a file is called where it comes from. */
export function nameOfSource(source: FileSource): string {
  if (source instanceof FileHandle) return "file";
  if (source instanceof File || source instanceof PlacedFile) return source.name;
  const output = callOf(source.parent).recipe.outputs[source.output];
  return output?.to?.name ?? output?.mount.split("/").at(-1) ?? source.output;
}

/** Names a file so that it has its own name where no other has it. */
function mountFile(
  source: FileSource,
  sources: Map<string, FileSource>,
  taken: ReadonlySet<string>,
): MountedFile {
  const safe = nameOfSource(source).replace(UNSAFE, "_").replace(/^[.-]+/, "") || "file";
  let mount = `${INPUT_FOLDER}/${safe}`;
  for (let number = 2; sources.has(mount) || taken.has(mount); number++) {
    mount = `${INPUT_FOLDER}/${number}/${safe}`;
  }
  sources.set(mount, source);
  return new MountedFile(source instanceof File ? source.url : `tendril:/${safe}`, mount);
}
