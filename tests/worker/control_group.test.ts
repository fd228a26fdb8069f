import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

import { join } from "@std/path";

import type { TaskId } from "../../shared/ids.ts";
import { ControlGroup, ControlGroups, ownGroupPath } from "../../worker/control_group.ts";
import { TaskFixture, TemporaryFolder, until } from "./task_fixture.ts";

/** The group of this process, where it may divide it; else there is nothing to be tested. */
function openOwn(mark: string): ControlGroups | undefined {
  return ownGroupPath() === undefined ? undefined : ControlGroups.open({ mark });
}

test("ownGroupPath() finds the version 2 hierarchy among others, below what is mounted", () => {
  const mounts = "41 31 0:38 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n" +
    "40 31 0:37 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
  expect(ownGroupPath(mounts, "4:memory:/a\n0::/user/b\n")).toBe("/sys/fs/cgroup/unified/user/b");
  const bound = mounts.replace(" / ", " /user ");
  expect(ownGroupPath(bound, "0::/user/b\n")).toBe("/sys/fs/cgroup/unified/b");
  expect(ownGroupPath(bound, "0::/users/b\n")).toBeUndefined();
  // Moved out of what this process sees of the hierarchy.
  expect(ownGroupPath(mounts, "0::/../../b\n")).toBeUndefined();
  expect(ownGroupPath("", "0::/\n")).toBeUndefined();
  expect(ownGroupPath(mounts, "4:memory:/a\n")).toBeUndefined();
});

test("ControlGroups.open() is undefined where no groups may be made", () => {
  const parentPath = "/proc/self/no-such-group";
  expect(ControlGroups.open({ mark: "test", parentPath })).toBeUndefined();
});

test("ControlGroup knows and ends all of a try, a process of another session and no environment too", async () => {
  await using fixture = await TaskFixture.open();
  if (fixture.controlGroups === undefined) return;
  const command = "setsid env -i sleep 61.5 & sleep 61.25; true";
  const { process } = await fixture.start(command, { memoryBytesMax: 1e12 });
  let count = 0;
  while (count < 3) count = (await process.look()).members.length;
  process.kill();
  const end = await process.ended;
  expect(end).toMatchObject({ kind: "signal", signal: "SIGKILL", hasSurvivors: false });
  expect((await process.look()).members).toEqual([]);
});

test("ControlGroups removes what it made, and what a worker that is no more left", async () => {
  const groups = openOwn("test-first");
  if (groups === undefined) return;
  const group = groups.make({ taskId: 1 as TaskId, try: 1 }, { memoryBytes: 1e9 });
  expect(group?.processIds()).toEqual([]);
  groups.close();
  const parentPath = ownGroupPath()!;
  const leftPath = join(parentPath, "tendril-test-left");
  mkdirSync(join(leftPath, "1.1.1"), { recursive: true });
  openOwn("test-second")?.close();
  expect(existsSync(leftPath)).toBe(false);
  await until("the group to go", () => !existsSync(join(parentPath, "tendril-test-second")));
});

test("ControlGroup reads the controller of memory as the kernel writes it", async () => {
  await using folder = new TemporaryFolder();
  const write = (name: string, text: string) => writeFileSync(join(folder.path, name), text);
  write("memory.stat", "anon 4096\nfile 999999\nkernel 5\nshmem 8192\nanon_thp 1\n");
  write("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n");
  write("cpu.stat", "usage_usec 2500\nuser_usec 2000\nsystem_usec 500\n");
  write("cgroup.procs", "12\n0\n34\n");
  const group = new ControlGroup(folder.path, { hasMemory: true, ended: () => {} });
  expect(group.memoryBytes).toBe(12_288);
  expect(group.cpuMs).toBe(2.5);
  expect(group.processIds()).toEqual([12, 34]);
  expect(group.isOverLimit).toBe(false);
  write("memory.events", "oom 1\noom_kill 3\n");
  expect(group.isOverLimit).toBe(true);
  group.kill();
  expect(readFileSync(join(folder.path, "cgroup.kill"), "latin1")).toBe("1");
  const bare = new ControlGroup(folder.path, { hasMemory: false, ended: () => {} });
  expect([bare.memoryBytes, bare.isOverLimit]).toEqual([undefined, false]);
});
