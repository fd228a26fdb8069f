import { expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { replace } from "../../shared/replace.ts";

/** Runs `body` in a new folder, which is removed. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "tendril-test-"));
  await body(folder).finally(() => rm(folder, { recursive: true }));
}

test("replace() puts a file over a file, and a directory over a directory with all that it has", async () => {
  await inFolder(async (folder) => {
    const [made, target] = [join(folder, "made"), join(folder, "target")];
    await writeFile(target, "old");
    await writeFile(made, "new");
    await replace(made, target);
    expect(await readFile(target, "utf8")).toBe("new");
    await rm(target);
    await mkdir(join(target, "old"), { recursive: true });
    await mkdir(join(made, "new"), { recursive: true });
    await replace(made, target);
    expect(await readdir(target)).toEqual(["new"]);
    expect(await readdir(folder)).toEqual(["target"]);
  });
});

test("replace() leaves alone what is of the other kind, and says so", async () => {
  await inFolder(async (folder) => {
    const [file, directory] = [join(folder, "file"), join(folder, "directory")];
    await writeFile(file, "mine");
    await mkdir(directory);
    await expect(replace(file, directory)).rejects.toThrow("a directory is in the way");
    await expect(replace(directory, file)).rejects.toThrow("a file is in the way");
    expect(await readFile(file, "utf8")).toBe("mine");
    expect((await readdir(folder)).sort()).toEqual(["directory", "file"]);
  });
});
