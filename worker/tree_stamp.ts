/**
 * What tells, without reading it, whether a tree is still as it was: of each file and link its
 * size, mtime, mode and inode, which all change when somebody writes, unless by intent.
 *
 * Times of directories are left out, and so is what lies in folders `__pycache__`: Python writes
 * there whoever runs it, and looks itself whether it fits.
 */

import { createHash } from "node:crypto";
import { lstatSync, readdirSync } from "node:fs";

import { join } from "@std/path";

import { Pacer } from "./pacer.ts";

/** Caches of compiled modules. */
const IGNORED_NAME = "__pycache__";

/** A hash over every entry of the tree; throws when it cannot be read through. */
export async function stampTree(root: string): Promise<string> {
  const pacer = new Pacer();
  const hash = createHash("sha256");
  const waiting = [""];
  while (true) {
    const directory = waiting.pop();
    if (directory === undefined) return hash.digest("hex");
    for (const name of readdirSync(join(root, directory)).sort()) {
      if (name === IGNORED_NAME) continue;
      const path = directory === "" ? name : `${directory}/${name}`;
      const found = lstatSync(join(root, path), { bigint: true });
      const { size, mtimeNs, mode, ino } = found;
      const isDirectory = found.isDirectory();
      const facts = isDirectory ? [mode, ino] : [mode, ino, size, mtimeNs];
      hash.update(`${JSON.stringify(path)} ${facts.join(" ")}\n`);
      if (isDirectory) waiting.push(path);
      if (pacer.isDue()) await pacer.pause();
    }
  }
}
