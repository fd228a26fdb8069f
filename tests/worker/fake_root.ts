/** A folder that stands for `/`: what the system says of itself, as a test wants it. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { dirname, join } from "@std/path";

/** `{path: text of the file}`. */
export type SystemFiles = { readonly [path: string]: string };

/** A machine of 16 processors and 64 GiB without limits. */
export const PLAIN_HOST: SystemFiles = {
  "/proc/self/status": "Name:\tx\nCpus_allowed:\tffff\nCpus_allowed_list:\t0-15\n",
  "/proc/meminfo": "MemTotal:       67108864 kB\nMemFree:        1 kB\n",
  "/proc/self/cgroup": "0::/\n",
  "/proc/self/mountinfo": "25 20 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n",
};

/** The folder and its files, until it is disposed. */
export class FakeRoot implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "fake-root-"));

  constructor(files: SystemFiles) {
    for (const [path, text] of Object.entries(files)) {
      const at = join(this.path, path);
      mkdirSync(dirname(at), { recursive: true });
      writeFileSync(at, text);
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
