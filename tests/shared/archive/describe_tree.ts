/** What is in a directory tree, to be compared: type, mode, time, link, contents and shared inodes. */

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What a program keeps of times. */
export interface KeptTimes {
  /** How exactly it keeps them. */
  readonly timeMs: number;
  /** It unpacks links with the time of that moment. */
  readonly losesLinkTimes?: boolean;
}

/** One line for each entry below `root`, with what a program keeps of its time. */
export function describeTree(
  root: string,
  { timeMs, losesLinkTimes = false }: KeptTimes,
): string[] {
  const lines: string[] = [];
  const firstNames = new Map<number, string>();
  const walk = (below: string): void => {
    for (const name of readdirSync(`${root}/${below}`).sort()) {
      const path = below === "" ? name : `${below}/${name}`;
      const status = lstatSync(`${root}/${path}`, { bigint: true });
      const mode = (Number(status.mode) & 0o777).toString(8);
      const mtime = Math.floor(Number(status.mtimeNs / 1_000_000n) / timeMs) * timeMs;
      const start = `${JSON.stringify(path)} ${mtime} `;
      if (status.isSymbolicLink()) {
        const target = readlinkSync(`${root}/${path}`);
        lines.push(`${losesLinkTimes ? JSON.stringify(path) : start} -> ${target}`);
      } else if (status.isDirectory()) {
        lines.push(`${start}${mode} directory`);
        walk(path);
      } else {
        const same = firstNames.get(Number(status.ino));
        firstNames.set(Number(status.ino), path);
        const digest = createHash("sha256").update(readFileSync(`${root}/${path}`)).digest("hex");
        lines.push(`${start}${mode} ${status.size} ${digest.slice(0, 12)} ${same ?? ""}`);
      }
    }
  };
  walk("");
  return lines;
}
