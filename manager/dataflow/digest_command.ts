/**
 * Main of the process that hashes large files, one after the other: reads their paths from its
 * standard input, answers with their digests, and ends when its input does.
 *
 * @module
 */

import process from "node:process";

import { type FileDigest, hashFile } from "../../shared/archive/digest.ts";
import { FrameReader, writeFrame } from "../../shared/pipe_frame.ts";
import { descriptorStream } from "../../shared/runtime/descriptor_stream.ts";

/** What the process is asked. */
export interface DigestRequest {
  readonly id: number;
  readonly path: string;
}

/** What it answers. */
export type DigestReply =
  | { readonly id: number; readonly digest: FileDigest }
  | { readonly id: number; readonly refused: string };

/** Runs until the end of standard input; resolves to the exit code. */
export async function runDigestCommand(): Promise<number> {
  process.stdout.on("error", () => {
    // Whoever asked is gone: its input ends too.
  });
  const reader = new FrameReader<DigestRequest>();
  for await (const chunk of descriptorStream(0)) {
    for (const { id, path } of reader.read(chunk)) {
      process.stdout.write(writeFrame(await answer(id, path)));
    }
  }
  return 0;
}

async function answer(id: number, path: string): Promise<DigestReply> {
  try {
    return { id, digest: await hashFile(path) };
  } catch (error) {
    return { id, refused: error instanceof Error ? error.message : String(error) };
  }
}
