import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";
import { expect, test } from "bun:test";

import type { TaskId } from "../../shared/ids.ts";
import { type Input, LINKED_ENTRIES_MAX } from "../../worker/mount.ts";
import type { Sandbox } from "../../worker/sandbox.ts";
import { readText, TaskFixture } from "./task_fixture.ts";

const LARGE_BYTES = 10_000_000;

/** A committed file of the cache. */
function cacheFile(fixture: TaskFixture, name: string, sizeBytes: number): Input {
  const path = join(fixture.folder.path, name);
  writeFileSync(path, new Uint8Array(sizeBytes).fill(97));
  chmodSync(path, 0o444);
  return { mount: name, path, isDirectory: false };
}

/** A committed directory: `a` and `sub/b`, and as many more as are asked for. */
function cacheDirectory(fixture: TaskFixture, name: string, moreCount = 0): Input {
  const path = join(fixture.folder.path, name);
  mkdirSync(join(path, "sub"), { recursive: true });
  const names = ["a", "sub/b", ...Array.from({ length: moreCount }, (_, index) => `more-${index}`)];
  for (const entry of names) {
    writeFileSync(join(path, entry), "original");
    chmodSync(join(path, entry), 0o444);
  }
  symlinkSync("sub/b", join(path, "link"));
  return { mount: name, path, isDirectory: true };
}

async function makeSandbox(fixture: TaskFixture, id: number, inputs: Input[]): Promise<Sandbox> {
  return await fixture.sandboxes.create({ taskId: id as TaskId, try: 1, inputs, outputs: [] });
}

/** Runs a command over inputs and tells what it did to them. */
async function check(
  fixture: TaskFixture,
  command: string,
  inputs: Input[],
): Promise<{ modified: string[]; suspect: string[]; stderr: string }> {
  const { sandbox, process } = await fixture.start(command, { inputs });
  await process.ended;
  const stderr = readText(sandbox, "stderr");
  const { modified, suspect } = await sandbox.checkInputs();
  await sandbox.remove();
  const names = (list: readonly Input[]) => list.map((input) => input.mount);
  return { modified: names(modified), suspect: names(suspect), stderr };
}

const NOTHING = { modified: [], suspect: [], stderr: "" };

test("create() copies a small input, which a task may spoil for itself alone", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "small", 10);
  const command = "chmod u+w small && echo spoilt > small && cat small >&2";
  expect(await check(fixture, command, [input])).toEqual({ ...NOTHING, stderr: "spoilt\n" });
  expect(readFileSync(input.path, "utf8")).toBe("a".repeat(10));
});

test("create() links a large input where it cannot share its blocks", async () => {
  await using fixture = await TaskFixture.open();
  const input = { ...cacheFile(fixture, "large", LARGE_BYTES), mount: "deep/er/large" };
  const sandbox = await makeSandbox(fixture, 1, [input]);
  const mounted = statSync(join(sandbox.directory, input.mount));
  expect(mounted.size).toBe(LARGE_BYTES);
  expect(mounted.mode & 0o777).toBe(0o444);
  expect(statSync(join(sandbox.directory, "deep")).isDirectory()).toBe(true);
  expect(await sandbox.checkInputs()).toEqual({ modified: [], suspect: [] });
  await sandbox.remove();
  expect(statSync(input.path).nlink).toBe(1);
});

/** Every way here changes the cached file, by root or by its owner. */
const WRITES = [
  ["appends", "chmod u+w large && echo x >> large"],
  ["writes in place", "chmod u+w large && printf x | dd of=large conv=notrunc bs=1 2>/dev/null"],
  [
    "gives mode back",
    "chmod u+w large && printf x | dd of=large conv=notrunc bs=1 2>/dev/null; chmod 444 large",
  ],
  ["changes the mode", "chmod u+w large"],
  ["touches", "touch -d 2001-01-01 large"],
] as const;

for (const [what, command] of WRITES) {
  test(`checkInputs() finds a task that ${what} to a linked input`, async () => {
    await using fixture = await TaskFixture.open();
    const input = cacheFile(fixture, "large", LARGE_BYTES);
    expect(await check(fixture, command, [input])).toEqual({ ...NOTHING, modified: ["large"] });
  });
}

test("checkInputs() suspects a task that covers up what it wrote", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "large", LARGE_BYTES);
  const command = "cp -p large kept && chmod u+w large && " +
    "printf x | dd of=large conv=notrunc bs=1 2>/dev/null; touch -r kept large; chmod 444 large";
  expect(await check(fixture, command, [input])).toEqual({ ...NOTHING, suspect: ["large"] });
});

test("checkInputs() lets a task read, copy and replace its input", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "large", LARGE_BYTES);
  expect(await check(fixture, "cp large x; wc -c < x > y", [input])).toEqual(NOTHING);
  expect(await check(fixture, "rm -f large; echo mine > large", [input])).toEqual({
    ...NOTHING,
    suspect: ["large"],
  });
  expect(statSync(input.path).size).toBe(LARGE_BYTES);
});

test("checkInputs() tells everybody who shared a modified input, and nobody after", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "large", LARGE_BYTES);
  const first = await makeSandbox(fixture, 1, [input]);
  const second = await makeSandbox(fixture, 2, [input]);
  chmodSync(join(first.directory, "large"), 0o644);
  expect((await second.checkInputs()).modified).toEqual([input]);
  expect((await first.checkInputs()).modified).toEqual([input]);
  const third = await makeSandbox(fixture, 3, [input]);
  expect(await third.checkInputs()).toEqual({ modified: [], suspect: [] });
  for (const sandbox of [first, second, third]) await sandbox.remove();
});

test("checkInputs() is not misled by the worker's own links", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "large", LARGE_BYTES);
  const sandboxes = [];
  for (const id of [1, 2, 3]) sandboxes.push(await makeSandbox(fixture, id, [input]));
  for (const sandbox of sandboxes) {
    expect(await sandbox.checkInputs()).toEqual({ modified: [], suspect: [] });
    await sandbox.remove();
  }
});

test("checkInputs() finds a write within the clock tick of the file's making", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "large", LARGE_BYTES);
  const inFuture = Date.now() / 1000 + 60;
  utimesSync(input.path, inFuture, inFuture);
  const sandbox = await makeSandbox(fixture, 1, [input]);
  // What a write in the same tick would leave: the mtime the file already had.
  utimesSync(join(sandbox.directory, "large"), inFuture, inFuture);
  expect((await sandbox.checkInputs()).modified).toEqual([input]);
  await sandbox.remove();
});

test("create() links a directory's entries into directories of the task's own", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheDirectory(fixture, "db");
  const command = "echo new > db/sub/new && rm -r db/link && cat db/a db/sub/b >&2";
  expect(await check(fixture, command, [input])).toEqual({
    ...NOTHING,
    stderr: "originaloriginal",
  });
  expect(readdirSync(input.path).sort()).toEqual(["a", "link", "sub"]);
  expect(readdirSync(join(input.path, "sub"))).toEqual(["b"]);
  const write = "chmod u+w db/sub/b && echo spoilt > db/sub/b";
  expect((await check(fixture, write, [input])).modified).toEqual(["db"]);
});

test("create() gives a large directory as one link and checks all of it", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheDirectory(fixture, "db", LINKED_ENTRIES_MAX);
  const sandbox = await makeSandbox(fixture, 100, [input]);
  expect(readlinkSync(join(sandbox.directory, "db"))).toBe(input.path);
  await sandbox.remove();
  expect(await check(fixture, "cat db/sub/b >&2", [input])).toEqual({
    ...NOTHING,
    stderr: "original",
  });
  const write = "chmod u+w db/sub/b && echo spoilt > db/sub/b";
  expect((await check(fixture, write, [input])).modified).toEqual(["db"]);
  expect((await check(fixture, "echo new > db/sub/new", [input])).modified).toEqual(["db"]);
  expect((await check(fixture, "ln db/a mine", [input])).suspect).toEqual(["db"]);
});

test("create() refuses mounts that lead out of the sandbox and leaves nothing", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "small", 10);
  const directory = cacheDirectory(fixture, "db", LINKED_ENTRIES_MAX);
  const bad = ["", "/etc/x", "../x", "a/../../x", "a//b", "./x", "x/", "a\0b", "y".repeat(300)];
  for (const mount of bad) {
    const made = makeSandbox(fixture, 1, [{ ...input, mount }]);
    await expect(made).rejects.toThrow(`Cannot use mount "${mount}"`);
  }
  const through = makeSandbox(fixture, 1, [directory, { ...input, mount: "db/x" }]);
  await expect(through).rejects.toThrow('mount "db/x": "db" above it is no directory');
  expect(existsSync(join(directory.path, "x"))).toBe(false);
  const fresh = await makeSandbox(fixture, 2, []);
  expect(readdirSync(fresh.directory)).toEqual([]);
  await fresh.remove();
});

test("create() fails on a missing cached file and on a mount used twice", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "large", LARGE_BYTES);
  const missing = { ...input, path: join(fixture.folder.path, "gone") };
  await expect(makeSandbox(fixture, 1, [input, missing])).rejects.toThrow("ENOENT");
  await expect(makeSandbox(fixture, 2, [input, input])).rejects.toThrow("EEXIST");
  const sandbox = await makeSandbox(fixture, 3, [input]);
  await sandbox.remove();
  expect(statSync(input.path).nlink).toBe(1);
});

test("create() makes the directories above outputs", async () => {
  await using fixture = await TaskFixture.open();
  const { sandbox, process } = await fixture.start("echo x > out/put/file", {
    outputs: ["out/put/file"],
  });
  expect((await process.ended).kind).toBe("exit");
  expect(await sandbox.collect("out/put/file")).toMatchObject({ kind: "ready", sizeBytes: 2 });
  await sandbox.remove();
});

test("remove() empties a sandbox for the next task, whatever the last one did", async () => {
  await using fixture = await TaskFixture.open();
  const commands = [
    "echo x > file; mkdir d; echo y > d/file; echo z > $TMPDIR/t; ln -s /etc link; mkfifo p",
    "i=0; while [ $i -lt 40 ]; do : > f$i; i=$((i+1)); done",
    "mkdir d; : > d/x; chmod 0 d",
    "chmod 777 .",
    'chmod 0 "$PWD" "${PWD%/work}"',
    "rm -r $TMPDIR; ln -s /etc $TMPDIR",
    "echo more > ../extra; mkdir ../more",
    "rm ../stdout; mkdir ../stdout; echo text",
    "mv ../stdout ../s; ln -s /dev/null ../stdout; echo text",
    "cd ..; mv work other; mkdir work; chmod 777 work",
  ];
  for (const command of commands) {
    const { end } = await fixture.run(command);
    expect({ command, end }).toMatchObject({ end: { kind: "exit", exitCode: 0 } });
    const look = "ls -A . .. $TMPDIR; stat -c %a . $TMPDIR; cat ../stdout";
    const { stdout } = await fixture.run(look);
    expect(stdout).toMatch(/^\.:\n\n\.\.:\nstderr\nstdout\ntmp\nwork\n\n\S+\/tmp:\n700\n700\n/);
  }
});

test("create() makes a sandbox for a try of another manager with the number of an earlier one", async () => {
  await using fixture = await TaskFixture.open();
  const [first, second] = [await makeSandbox(fixture, 1, []), await makeSandbox(fixture, 2, [])];
  for (const sandbox of [first, second]) await sandbox.remove();
  // The spare with the first one's name is taken last.
  const again = await Promise.all([makeSandbox(fixture, 1, []), makeSandbox(fixture, 2, [])]);
  for (const sandbox of again) await sandbox.remove();
});

test("remove() keeps no folder in which a process survived", async () => {
  await using fixture = await TaskFixture.open();
  const sandbox = await makeSandbox(fixture, 1, []);
  const inode = statSync(sandbox.directory).ino;
  // As a survivor's working directory would, this keeps the inode from being used again.
  const held = openSync(sandbox.directory, "r");
  await sandbox.remove({ hasSurvivors: true });
  const next = await makeSandbox(fixture, 2, []);
  expect(statSync(next.directory).ino).not.toBe(inode);
  closeSync(held);
  await next.remove();
});

test("readStream() keeps the end of a long stream and says how long it was", async () => {
  await using fixture = await TaskFixture.open();
  const { sandbox, process } = await fixture.start("seq 1 100000; printf 'é%.0s' $(seq 1 50) >&2");
  await process.ended;
  const text = readText(sandbox, "stdout");
  expect(text.length).toBeLessThanOrEqual(64 * 1024);
  expect(text.length).toBeGreaterThan(64 * 1024 - 8);
  expect(text).toMatch(/^\[tendril: 588895 bytes were written, here are the last \d+\]\n/);
  expect(text).toEndWith("\n99999\n100000\n");
  const cut = new TextDecoder("utf-8", { fatal: true }).decode(sandbox.readStream("stderr", 92));
  expect(cut).toMatch(/^\[tendril: 100 bytes were written, here are the last \d+\]\né+$/);
  expect(statSync(sandbox.streamPath("stdout")).size).toBe(588_895);
  await sandbox.remove();
  expect((await fixture.run("echo short")).stdout).toBe("short\n");
});

test("collect() names what is missing", async () => {
  await using fixture = await TaskFixture.open();
  const sandbox = await makeSandbox(fixture, 1, []);
  for (const mount of ["hits", "no/such/directory"]) {
    expect(await sandbox.collect(mount)).toEqual({
      kind: "missing",
      mount,
      message: `Output "${mount}" was not made`,
    });
  }
  await sandbox.remove();
});

test("collect() tells files and directories with their sizes", async () => {
  await using fixture = await TaskFixture.open();
  const { sandbox, process } = await fixture.start(
    "echo 1234 > file; mkdir -p d/e; echo 12 > d/x; echo 12 > d/e/y; ln -s e/y d/in; ln -s ../x d/e/up; " +
      "chmod 0 d/e; ln -s file link",
  );
  await process.ended;
  const path = (mount: string) => join(sandbox.directory, mount);
  expect(await sandbox.collect("file")).toEqual({
    kind: "ready",
    mount: "file",
    path: path("file"),
    isDirectory: false,
    isExecutable: false,
    sizeBytes: 5,
  });
  expect(await sandbox.collect("d")).toMatchObject({
    kind: "ready",
    isDirectory: true,
    sizeBytes: 6,
  });
  expect(await sandbox.collect("link")).toMatchObject({ kind: "ready", sizeBytes: 5 });
  expect(lstatSync(path("link")).isFile()).toBe(true);
  await sandbox.remove();
});

test("collect() refuses links that lead out and special files, by name", async () => {
  await using fixture = await TaskFixture.open();
  const { sandbox, process } = await fixture.start(
    "ln -s /etc/passwd abs; ln -s ../../.. up; ln -s gone dangling; mkfifo fifo; mkdir d1 d2 d3 real; " +
      "ln -s /etc d1/abs; ln -s ../real d2/out; mkfifo d3/fifo; echo x > real/x; ln -s real alias; " +
      "ln -s /etc parent",
  );
  await process.ended;
  const message = async (mount: string) => {
    const output = await sandbox.collect(mount);
    return output.kind === "refused" ? output.message : output.kind;
  };
  expect(await message("abs")).toContain('output "abs": it is a link to "/etc/passwd"');
  expect(await message("up")).toContain('output "up": it is a link to "../../.."');
  expect(await message("dangling")).toContain('output "dangling": it is a link to "gone"');
  expect(await message("alias")).toContain('output "alias": it is a link to "real"');
  expect(await message("fifo")).toContain('output "fifo"');
  expect(await message("d1")).toContain('output "d1/abs": it is a link to "/etc"');
  expect(await message("d2")).toContain('output "d2/out": it is a link to "../real"');
  expect(await message("d3")).toContain('output "d3/fifo"');
  expect(await message("parent/passwd")).toContain('"parent" above it is no directory');
  expect(await message("real")).toBe("ready");
  await expect(sandbox.collect("../x")).rejects.toThrow("Cannot use mount");
  await sandbox.remove();
});

test("collect() gives an output that is an input's file an inode of its own", async () => {
  await using fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "large", LARGE_BYTES);
  const { sandbox, process } = await fixture.start("ln large out; mkdir d; ln large d/out", {
    inputs: [input],
  });
  await process.ended;
  for (const mount of ["out", "d"]) await sandbox.collect(mount);
  for (const mount of ["out", "d/out"]) {
    const found = statSync(join(sandbox.directory, mount));
    expect(found.nlink).toBe(1);
    expect(found.ino).not.toBe(statSync(input.path).ino);
  }
  const moved = join(fixture.folder.path, "moved");
  renameSync(join(sandbox.directory, "out"), moved);
  await sandbox.remove();
  expect(statSync(moved).size).toBe(LARGE_BYTES);
});

test("close() leaves nothing, and the cache as it was", async () => {
  const fixture = await TaskFixture.open();
  const input = cacheFile(fixture, "large", LARGE_BYTES);
  const extra = join(fixture.folder.path, "extra");
  linkSync(input.path, extra);
  await makeSandbox(fixture, 1, [input]);
  await fixture.sandboxes.close();
  expect(readdirSync(fixture.folder.path).sort()).toEqual(["extra", "large", "trash"]);
  expect(readdirSync(join(fixture.folder.path, "trash"))).toEqual([]);
  await fixture[Symbol.asyncDispose]();
});

const FILE = fileURLToPath(import.meta.url);

/** A user without rights, whose run of this file ends with it. */
const USER = { uid: 65_534, gid: 65_534 };

/** False for others than root, in the nested run, and where root alone may enter the clone. */
function canRunAsUser(): boolean {
  if (process.getuid?.() !== 0) return false;
  const look = 'test -x "$0" && test -r "$1"';
  return spawnSync("/bin/sh", ["-c", look, process.execPath, FILE], USER).status === 0;
}

test("every test here passes as a user without rights too", () => {
  if (!canRunAsUser()) return;
  const { status, stderr } = spawnSync(process.execPath, ["test", FILE], {
    ...USER,
    env: { PATH: process.env.PATH, HOME: "/nonexistent" },
    encoding: "utf8",
  });
  expect({ status, stderr }).toMatchObject({ status: 0 });
}, 60_000);
