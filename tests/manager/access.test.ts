/** Access files: whole, private, and never another manager's. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  link,
  mkdtemp,
  readdir,
  readFile,
  rename,
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
  describeClaim,
  describeLack,
  findAccessFile,
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

test("writeAccessFile() gives the name of an ended manager to one of many that ask at once", async () => {
  const pid = await endedPid();
  for (let round = 0; round < 20; round += 1) {
    await rm(accessPath("blast"), { force: true });
    await writeAccessFile(access({ managerId: "m0", pid }));
    const ids = Array.from({ length: 8 }, (_, i) => `m${round}-${i}`);
    const asked = ids.map((managerId) => writeAccessFile(access({ managerId })));
    const ends = await Promise.allSettled(asked);
    const taken = ids.filter((_id, index) => ends[index]?.status === "fulfilled");
    expect(taken).toEqual([(await readAccessFile(accessPath("blast"))).managerId]);
    expect(await readdir(join(home, "managers"))).toEqual(["blast.json"]);
  }
});

test("writeAccessFile() is not held up by one that was killed while it took a name", async () => {
  const ended = access({ managerId: "m1", pid: await endedPid() });
  const path = await writeAccessFile(ended);
  await writeAccessCopy(`${path}.claim`, ended);
  await writeAccessFile(access({ managerId: "m2" }));
  expect((await readAccessFile(path)).managerId).toBe("m2");
  expect(await readdir(join(home, "managers"))).toEqual(["blast.json"]);
});

test("writeAccessFile() says which file cannot be written, and how to have it elsewhere", async () => {
  process.env["TENDRIL_HOME"] = join(home, "file");
  await writeFile(join(home, "file"), "");
  const message = await writeAccessFile(access()).catch((error: Error) => error.message);
  expect(message).toStartWith(
    `Cannot write access file "${join(home, "file/managers/blast.json")}"`,
  );
  expect(message).toEndWith("TENDRIL_HOME may name another folder");
  const path = join(home, "none", "part.json");
  await expect(writeAccessCopy(path, access())).rejects.toThrow(
    `Cannot write access file "${path}": ENOENT`,
  );
});

test("accessPath() takes a relative home from the working directory", () => {
  process.env["TENDRIL_HOME"] = "some/home";
  expect(accessPath("a")).toBe(join(process.cwd(), "some/home/managers/a.json"));
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

test("readManagerAccess() refuses a home that is open to all, unless as /tmp is", async () => {
  await writeAccessFile(access());
  await chmod(home, 0o777);
  await expect(readManagerAccess("blast")).rejects.toThrow(`"${home}": others may write to it`);
  await expect(writeAccessFile(access({ name: "other" }))).rejects.toThrow(
    "others may write to it",
  );
  // Nothing can be moved away in a folder like /tmp, and a group's gains nothing by it.
  for (const mode of [0o1777, 0o775, 0o755]) {
    await chmod(home, mode);
    expect((await readManagerAccess("blast")).name).toBe("blast");
  }
});

test("readManagerAccess() follows links of this user, and none of others, to where files are", async () => {
  await writeAccessFile(access());
  const [folder, moved] = [join(home, "managers"), join(home, "elsewhere")];
  await rename(folder, moved);
  await symlink(moved, folder);
  const linked = join(home, "linked");
  await symlink(home, linked);
  process.env["TENDRIL_HOME"] = linked;
  expect((await readManagerAccess("blast")).name).toBe("blast");
  if (process.getuid?.() !== 0) return;
  for (const link of [linked, folder]) {
    await once(spawn("chown", ["-h", "12345", link]), "exit");
    await expect(readManagerAccess("blast")).rejects.toThrow("it belongs to user 12345, not 0");
    await expect(writeAccessFile(access({ name: "other" }))).rejects.toThrow("12345");
    await once(spawn("chown", ["-h", "0", link]), "exit");
  }
});

test("writeAccessFile() makes folders that are its user's alone", async () => {
  process.env["TENDRIL_HOME"] = join(home, "new/home");
  await writeAccessFile(access());
  for (const folder of ["new/home", "new/home/managers"]) {
    expect((await stat(join(home, folder))).mode & 0o777).toBe(0o700);
  }
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
  // In another container, where pids mean other processes, or the same system before it booted.
  const [boot, , ticks] = start.split(" ");
  expect(isStale(access({ pid, processStart: `${boot} pid:[1] ${ticks}` }))).toBe(false);
  expect(isStale(access({ processStart: `${"0".repeat(36)} pid:[1] ${ticks}` }))).toBe(true);
});

test("isStale() is true of a process that has ended and that nobody waited for", async () => {
  // The shell becomes a program that never asks for the end of its child.
  const child = spawn("sh", ["-c", "sleep 60 & echo $!; exec sleep 60"]);
  try {
    const [chunk] = await once(child.stdout, "data");
    const pid = Number(String(chunk));
    expect(isStale(access({ pid }))).toBe(false);
    if (processStart(pid) === undefined) return;
    const textOf = (id: number, name: string) => readFile(`/proc/${id}/${name}`, "utf8");
    while (await textOf(child.pid!, "comm") !== "sleep\n") continue;
    process.kill(pid, "SIGKILL");
    while (!(await textOf(pid, "stat")).includes(") Z ")) continue;
    expect(isStale(access({ pid }))).toBe(true);
    const path = await writeAccessFile(access({ pid }));
    await writeAccessFile(access({ managerId: "m2" }));
    expect((await readAccessFile(path)).managerId).toBe("m2");
  } finally {
    child.kill("SIGKILL");
  }
});

test("findAccessFile() passes over managers that have ended, and names them when there is no other", async () => {
  const urls = ["http://127.0.0.1:4000"];
  const pid = await endedPid();
  await writeAccessFile(access({ name: "a", pid, urls }));
  await expect(findAccessFile({})).rejects.toThrow(
    `Cannot tell which manager is meant: no manager of this user runs; ended: a (process ${pid})`,
  );
  await expect(findAccessFile({ name: "x" })).rejects.toThrow(`; ended: a (process ${pid})`);
  for (const name of ["b", "c", "d", "e"]) await writeAccessFile(access({ name, pid }));
  await expect(findAccessFile({})).rejects.toThrow(/c \(process \d+\), and 2 more$/);
  await writeAccessFile(access({ name: "z", urls }));
  expect((await findAccessFile({})).name).toBe("z");
  // The port is another one's now.
  expect((await findAccessFile({ url: urls[0] })).name).toBe("z");
  await writeAccessFile(access({ name: "y" }));
  await expect(findAccessFile({})).rejects.toThrow("these run: y, z; use --name NAME");
  await expect(findAccessFile({ name: "x" })).rejects.toThrow(
    'Cannot find manager "x": these run: y, z',
  );
});

test("describeClaim() and describeLack() say what an access file says of itself", () => {
  expect(describeClaim(access())).toBeUndefined();
  expect(describeClaim(access({ host: "node9", pid: 7 }))).toBe(
    "by its access file it runs on node9 as process 7 since 2026-09-21T14:13:20Z",
  );
  const lack = (secrets: AccessFile["secrets"]) => describeLack(access({ secrets }), "client");
  expect(lack({ worker: "w" })).toBe(
    "its access file has no client secret: it was made for role worker",
  );
  expect(lack({ worker: "w", viewer: "v" })).toContain("for role worker and viewer");
});

test("accessPath() refuses names that are paths", () => {
  for (const name of ["", ".", "..", "../x", "a/b", ".x", "-x", "a\0", "x".repeat(65), "ü"]) {
    expect(() => accessPath(name)).toThrow(RangeError);
  }
});
