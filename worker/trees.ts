/** Directories as canonical tar streams, and archives as directories. */

import { openPackStream, planPack } from "../shared/archive/pack.ts";
import { type UnpackResult, unpackTree } from "../shared/archive/unpack.ts";
import { unpackInChild } from "./unpack.ts";

/** The conversions that files go through on their way. */
export interface Trees {
  /** The canonical tar stream of the directory at `path`, from `offset` on. */
  readonly read: (path: string, offset: number) => AsyncIterable<Uint8Array>;
  /** Makes the directory `path`, which does not exist, from its canonical tar stream. */
  readonly write: (path: string, chunks: AsyncIterable<Uint8Array>) => Promise<void>;
  /** Unpacks an archive into the directory `path`, which does not exist, in another process. */
  readonly unpack: (
    path: string,
    archive: {
      readonly path: string;
      /** Of an environment: where it will be used. */
      readonly place?: string;
      /** What there is room for. */
      readonly bytesMax: number;
      readonly signal: AbortSignal;
    },
  ) => Promise<UnpackResult>;
}

/** The real ones, of the worker with that mark. */
export function newTrees(mark: string): Trees {
  return {
    async *read(path, offset) {
      yield* openPackStream(await planPack(path), { startByte: offset });
    },
    async write(path, chunks) {
      await unpackTree(chunks, path);
    },
    unpack(path, { path: archivePath, ...options }) {
      return unpackInChild(archivePath, path, { ...options, mark });
    },
  };
}
