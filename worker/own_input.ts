/**
 * Copies of inputs for a try that shared one with a task that wrote to it. With files of its own
 * it reads what nobody else writes, and when it is the one that writes that is seen in them.
 */

import { constants, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
import { copyFile } from "node:fs/promises";

import { join } from "@std/path";

import { copyTimes, type Input } from "./mount.ts";

/** Copies the files of `inputs` into the new folder `directory`, and names them there. */
export async function copyInputs(
  inputs: readonly Input[],
  directory: string,
): Promise<readonly Input[]> {
  mkdirSync(directory);
  const copies: Input[] = [];
  for (const [index, input] of inputs.entries()) {
    const path = join(directory, String(index));
    await copyTree(input.path, path);
    copies.push({ ...input, path });
  }
  return copies;
}

async function copyTree(from: string, to: string): Promise<void> {
  const waiting: (readonly [string, string])[] = [[from, to]];
  const directories: (readonly [string, string])[] = [];
  while (true) {
    const [source, target] = waiting.pop() ?? [];
    if (source === undefined || target === undefined) break;
    const found = lstatSync(source);
    if (found.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else if (!found.isDirectory()) {
      await copyFile(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      copyTimes(source, target);
    } else {
      mkdirSync(target);
      directories.push([source, target]);
      for (const name of readdirSync(source)) {
        waiting.push([join(source, name), join(target, name)]);
      }
    }
  }
  // Only now: what is put into a directory moves its time.
  for (const [source, target] of directories) copyTimes(source, target);
}
