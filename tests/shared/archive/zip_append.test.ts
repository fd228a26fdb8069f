import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { appendToZip, WHOLE_ZIP_LIMITS } from "../../../shared/archive/zip_append.ts";
import { ZipReader } from "../../../shared/archive/zip_reader.ts";
import { someBytes } from "../../url_server.ts";

/** A folder that is gone at the end. */
class Folder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tendril-zip-"));

  file(name: string, contents: string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, contents);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

async function read(archive: string): Promise<{ [name: string]: string }> {
  const reader = new ZipReader(archive, WHOLE_ZIP_LIMITS);
  const found: { [name: string]: string } = {};
  for (const entry of reader.entries) {
    const parts: Uint8Array[] = [];
    for await (const part of reader.contents(entry)) parts.push(part);
    found[entry.name] = Buffer.concat(parts).toString();
  }
  await reader.close();
  return found;
}

test("appendToZip() makes an archive, adds to it and replaces members", async () => {
  using folder = new Folder();
  const archive = join(folder.path, "deep/a.zip");
  await appendToZip(archive, [{ name: "in/é.txt", path: folder.file("1", "one") }]);
  await appendToZip(archive, [
    { name: "b", path: folder.file("2", "two") },
    { name: "empty", path: folder.file("3", "") },
  ]);
  await appendToZip(archive, [{ name: "in/é.txt", path: folder.file("4", "another one") }]);
  expect(await read(archive)).toEqual({ "in/é.txt": "another one", b: "two", empty: "" });
  expect(readdirSync(join(folder.path, "deep"))).toEqual(["a.zip"]);
});

test("appendToZip() adds to what another program packed, and Python reads it", async () => {
  using folder = new Folder();
  const archive = join(folder.path, "a.zip");
  const code = "import sys, zipfile\n" +
    "with zipfile.ZipFile(sys.argv[1], 'w') as z: z.writestr('first', 'from python')\n";
  execFileSync("python3", ["-c", code, archive]);
  const big = folder.file("big", Buffer.from(someBytes(3_000_000)));
  await appendToZip(archive, [{ name: "big", path: big }]);
  const check = "import sys, zipfile\n" +
    "z = zipfile.ZipFile(sys.argv[1])\n" +
    "assert z.testzip() is None\n" +
    "assert z.read('big') == open(sys.argv[2], 'rb').read()\n" +
    "print(' '.join(z.namelist()), z.read('first').decode())\n";
  const said = execFileSync("python3", ["-c", check, archive, big], { encoding: "utf8" });
  expect(said).toBe("first big from python\n");
});

test("appendToZip() leaves an archive as it was when it cannot add", async () => {
  using folder = new Folder();
  const archive = join(folder.path, "a.zip");
  await appendToZip(archive, [{ name: "a", path: folder.file("1", "one") }]);
  const before = readFileSync(archive);
  const gone = join(folder.path, "gone");
  await expect(appendToZip(archive, [{ name: "b", path: gone }])).rejects.toThrow("ENOENT");
  expect(readFileSync(archive)).toEqual(before);
  expect(readdirSync(folder.path).sort()).toEqual(["1", "a.zip"]);
});

test("appendToZip() refuses what is no archive, and leaves it alone", async () => {
  using folder = new Folder();
  const text = folder.file("a.zip", "no archive at all, but a text of some length");
  const added = appendToZip(text, [{ name: "b", path: folder.file("1", "one") }]);
  await expect(added).rejects.toThrow("Cannot read the archive as zip");
  expect(statSync(text).size).toBe(44);
});
