/** Access files: whole, private, and never another manager's. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  link,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { hostname, tmpdir } from "node:os";

import { join } from "@std/path";
import { afterEach, beforeEach, expect, test } from "bun:test";

import { removeAccessFile, writeAccessCopy, writeAccessFile } from "../../manager/access.ts";
import {
  type AccessFile,
  accessPath,
  isStale,
  listAccessFiles,
  processStart,
  readAccessFile,
  readManagerAccess,
} from "../../shared/access_file.ts";
import { newSecret } from "../../shared/handshake.ts";

const homeBefore = process.env["TENDRIL_HOME"];
let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-access-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  if (homeBefore === undefined) delete process.env["TENDRIL_HOME"];
  else process.env["TENDRIL_HOME"] = homeBefore;
  await rm(home, { recursive: true });
});

function access(changes: Partial<AccessFile> = {}): AccessFile {
  return {
    version: 1,
    name: "blast",
    managerId: "m1",
    urls: ["http://127.0.0.1:4000"],
    secrets: { worker: newSecret(), client: newSecret(), viewer: newSecret() },
    pid: process.pid,
    host: hostname(),
    startedAtMs: 1_790_000_000_000,
    ...changes,
  };
}

/** The id of a process that has ended. */
async function endedPid(): Promise<number> {
  const child = spawn("true");
  await once(child, "exit");
  return child.pid!;
}

test("writeAccessFile() writes what readAccessFile() reads, for the owner alone", async () => {
  const written = access();
  const path = await writeAccessFile(written);
  expect(path).toBe(join(home, "managers", "blast.json"));
  expect(await readAccessFile(path)).toEqual(written);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(home, "managers"))).mode & 0o777).toBe(0o700);
  expect(await readdir(join(home, "managers"))).toEqual(["blast.json"]);
});

test("writeAccessFile() refuses the name of a live manager and replaces a dead one's", async () => {
  await writeAccessFile(access());
  const second = access({ managerId: "m2" });
  await expect(writeAccessFile(second)).rejects.toThrow(
    `Cannot use "blast" as the name of this manager: process ${process.pid} on`,
  );
  // The same manager may say that its addresses changed.
  await writeAccessFile(access({ urls: ["http://127.0.0.1:5000"] }));
  await writeAccessFile(access({ pid: await endedPid() }));
  const path = await writeAccessFile(second);
  expect((await readAccessFile(path)).managerId).toBe("m2");
  expect(await readdir(join(home, "managers"))).toEqual(["blast.json"]);
});

test("writeAccessFile() gives a name to one of many managers that ask at once", async () => {
  const asked = Array.from(
    { length: 20 },
    (_, i) => writeAccessFile(access({ managerId: `m${i}` })),
  );
  const ends = await Promise.allSettled(asked);
  expect(ends.filter((end) => end.status === "fulfilled").length).toBe(1);
});

test("writeAccessFile() replaces a damaged file, and leaves one of others alone", async () => {
  const path = await writeAccessFile(access());
  await writeFile(path, '{"version": 1, "na');
  await writeAccessFile(access({ managerId: "m2" }));
  await chmod(path, 0o644);
  await expect(writeAccessFile(access({ managerId: "m3" }))).rejects.toThrow(
    "Cannot trust access file",
  );
});

test("readAccessFile() refuses files that others may use, links, pipes and directories", async () => {
  const path = await writeAccessFile(access());
  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    await chmod(path, mode);
    await expect(readAccessFile(path)).rejects.toMatchObject({ code: "not_trusted" });
  }
  await chmod(path, 0o600);
  const linked = join(home, "managers", "linked.json");
  await symlink(path, linked);
  await expect(readAccessFile(linked)).rejects.toThrow("it is a symbolic link");
  const pipe = join(home, "managers", "pipe.json");
  await once(spawn("mkfifo", ["-m", "600", pipe]), "exit");
  await expect(readAccessFile(pipe)).rejects.toMatchObject({ code: "not_trusted" });
  await expect(readAccessFile(home)).rejects.toMatchObject({ code: "not_trusted" });
  await expect(readAccessFile(join(home, "none.json"))).rejects.toMatchObject({ code: "missing" });
});

test("readManagerAccess() refuses the file of one manager under the name of another", async () => {
  const path = await writeAccessFile(access());
  await link(path, join(home, "managers", "second.json"));
  await expect(readManagerAccess("second")).rejects.toThrow('it is that of manager "blast"');
  expect(await listAccessFiles()).toHaveLength(1);
});

test("readManagerAccess() refuses a folder that others may write to, or own", async () => {
  await writeAccessFile(access());
  const folder = join(home, "managers");
  for (const mode of [0o770, 0o702, 0o777]) {
    await chmod(folder, mode);
    await expect(readManagerAccess("blast")).rejects.toThrow("others may write to it");
    await expect(listAccessFiles()).rejects.toThrow("others may write to it");
    await expect(writeAccessFile(access({ name: "other" }))).rejects.toThrow("700 is wanted");
  }
  await chmod(folder, 0o700);
  expect((await readManagerAccess("blast")).name).toBe("blast");
  if (process.getuid?.() !== 0) return;
  await once(spawn("chown", ["12345", folder]), "exit");
  await expect(readManagerAccess("blast")).rejects.toThrow("it belongs to user 12345, not 0");
});

test("writeAccessFile() writes through no link, whatever lies where it writes", async () => {
  const elsewhere = join(home, "elsewhere");
  await writeFile(elsewhere, "precious");
  const path = await writeAccessFile(access());
  await rm(path);
  await symlink(elsewhere, path);
  await expect(writeAccessFile(access())).rejects.toThrow("it is a symbolic link");
  await expect(writeAccessCopy(path, access())).rejects.toThrow("Cannot replace");
  expect(await readFile(elsewhere, "utf8")).toBe("precious");
});

test("writeAccessCopy() replaces an access file and nothing else", async () => {
  const path = join(home, "copy.json");
  await writeFile(path, "a letter", { mode: 0o600 });
  await expect(writeAccessCopy(path, access())).rejects.toThrow(`Cannot replace "${path}"`);
  expect(await readFile(path, "utf8")).toBe("a letter");
  await rm(path);
  await writeAccessCopy(path, access());
  await writeAccessCopy(path, access({ managerId: "m2" }));
  expect((await readAccessFile(path)).managerId).toBe("m2");
});

test.if(process.getuid?.() === 0)("readAccessFile() refuses another user's file", async () => {
  const path = await writeAccessFile(access());
  await once(spawn("chown", ["12345", path]), "exit");
  await expect(readAccessFile(path)).rejects.toThrow("it belongs to user 12345, not 0");
});

test("readAccessFile() refuses what is damaged, and names the field", async () => {
  const path = join(home, "x.json");
  const texts: [string, string][] = [
    ["", "it is not JSON"],
    ["null", "access is not a map"],
    [JSON.stringify({ ...access(), version: 2 }), "access.version is not one of 1"],
    [JSON.stringify({ ...access(), pid: -1 }), "access.pid"],
    [JSON.stringify({ ...access(), secrets: { worker: 1 } }), "access.secrets.worker is not text"],
    [JSON.stringify({ ...access(), pad: "x".repeat(70_000) }), "it has 7"],
  ];
  for (const [text, found] of texts) {
    await writeFile(path, text, { mode: 0o600 });
    await expect(readAccessFile(path)).rejects.toThrow(found);
  }
});

test("writeAccessCopy() writes an access file that holds one role only", async () => {
  const { secrets } = access();
  const path = join(home, "worker.json");
  await writeAccessCopy(path, access({ secrets: { worker: secrets.worker! } }));
  expect((await readAccessFile(path)).secrets).toEqual({ worker: secrets.worker! });
});

test("listAccessFiles() gives trusted files by name, and none without a directory", async () => {
  expect(await listAccessFiles()).toEqual([]);
  for (const name of ["b", "a", "c"]) await writeAccessFile(access({ name }));
  await chmod(accessPath("c"), 0o644);
  await writeFile(join(home, "managers", "notes.txt"), "x");
  expect((await listAccessFiles()).map((file) => file.name)).toEqual(["a", "b"]);
});

test("removeAccessFile() removes its own file and not that of a successor", async () => {
  const first = access({ pid: await endedPid() });
  await writeAccessFile(first);
  const second = access({ managerId: "m2" });
  const path = await writeAccessFile(second);
  await removeAccessFile(first);
  expect((await readAccessFile(path)).managerId).toBe("m2");
  await removeAccessFile(second);
  await removeAccessFile(second);
  expect(await readdir(join(home, "managers"))).toEqual([]);
});

test("isStale() is true only when the process is known to be gone", async () => {
  const pid = await endedPid();
  expect(isStale(access())).toBe(false);
  expect(isStale(access({ pid: 1 }))).toBe(false);
  expect(isStale(access({ pid }))).toBe(true);
  expect(isStale(access({ pid, host: "elsewhere" }))).toBe(false);
  const start = processStart(process.pid);
  if (start === undefined) return;
  expect(isStale(access({ processStart: start }))).toBe(false);
  // The number went to another process since.
  expect(isStale(access({ processStart: `${start}1` }))).toBe(true);
});

test("accessPath() refuses names that are paths", () => {
  for (const name of ["", ".", "..", "../x", "a/b", ".x", "-x", "a\0", "x".repeat(101), "ü"]) {
    expect(() => accessPath(name)).toThrow(RangeError);
  }
});
