/** A directory for one test, and what is in it. */

import { lstat, mkdtemp, readdir, readFile, readlink, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";

/** Makes a directory that is removed with the `await using` that holds it. */
export async function scratch(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(`${tmpdir()}/tendril-archive-`);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** Describes all below `root`: "dir/", "file mode contents", "link -> target", in order of names. */
export async function listTree(root: string, below = ""): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await readdir(`${root}/${below}`)).sort()) {
    const path = below === "" ? name : `${below}/${name}`;
    const status = await lstat(`${root}/${path}`);
    if (status.isDirectory()) lines.push(`${path}/`, ...(await listTree(root, path)));
    else if (status.isSymbolicLink()) lines.push(`${path} -> ${await readlink(`${root}/${path}`)}`);
    else {
      const mode = (status.mode & 0o7777).toString(8);
      const text = (await readFile(`${root}/${path}`, "utf8")).slice(0, 40);
      lines.push(`${path} ${mode} ${JSON.stringify(text)}`);
    }
  }
  return lines;
}

/** Tells whether there is anything at `path`. */
export async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(() => true, () => false);
}

/** Returns the time of last change in milliseconds, without the fraction. */
export async function mtimeMsOf(path: string): Promise<number> {
  return Math.floor((await stat(path)).mtimeMs);
}
