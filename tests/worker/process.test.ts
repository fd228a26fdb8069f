import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";

import { join } from "@std/path";
import { expect, test } from "bun:test";

import { readProcess } from "../../worker/process_table.ts";
import { readText, TaskFixture, until } from "./task_fixture.ts";

/** Both ways to find what a task leaves behind. */
const WAYS = [["adopted", undefined], ["searched for", { subreaper: undefined }]] as const;

/** Process id that a task wrote into a file of its sandbox. */
function readId(directory: string, name: string): Promise<number> {
  const path = join(directory, name);
  return until(
    name,
    () => existsSync(path) ? Number(readFileSync(path, "utf8")) || undefined : undefined,
  );
}

function isAlive(processId: number): boolean {
  const entry = readProcess(processId);
  return entry !== undefined && !entry.isZombie;
}

test("start() tells exit codes, and 127 of a command that is not found", async () => {
  await using fixture = await TaskFixture.open();
  const clean = { hasSurvivors: false };
  expect((await fixture.run("true")).end).toMatchObject({ kind: "exit", exitCode: 0, ...clean });
  expect((await fixture.run("exit 7")).end).toMatchObject({ kind: "exit", exitCode: 7, ...clean });
  const missing = await fixture.run("no-such-command-here");
  expect(missing.end).toMatchObject({ kind: "exit", exitCode: 127, ...clean });
  expect(missing.stderr).toContain("not found");
});

test("start() tells a death by signal from a shell that reports one", async () => {
  await using fixture = await TaskFixture.open();
  expect((await fixture.run("kill -9 $$")).end).toMatchObject({
    kind: "signal",
    signal: "SIGKILL",
  });
  expect((await fixture.run("kill -SEGV $$")).end).toMatchObject({ signal: "SIGSEGV" });
  expect((await fixture.run("kill -34 $$")).end).toMatchObject({ signal: "SIG34" });
  const reported = await fixture.run("sh -c 'kill -9 $$'; exit $?");
  expect(reported.end).toMatchObject({ kind: "exit", exitCode: 137 });
});

test("start() runs in the sandbox without input and keeps the streams apart", async () => {
  await using fixture = await TaskFixture.open();
  const { stdout, stderr } = await fixture.run("cat; pwd; echo out; echo err >&2");
  expect(stdout).toMatch(/\/sandboxes\/1\.1\.1\/work\nout\n$/);
  expect(stderr).toBe("err\n");
});

test("start() gives the task's variables and none of the worker's own", async () => {
  await using fixture = await TaskFixture.open();
  const { stdout } = await fixture.run("env", {
    env: { OMP_NUM_THREADS: "9", MINE: "a b\nc" },
    cores: 2.5,
    activation: { pathDirectories: ["/opt/first/bin", "/opt/second/bin"] },
  });
  const lines = stdout.split("\n");
  for (
    const line of ["MINE=a b", "CORES=2", "OMP_NUM_THREADS=9", "TENDRIL_TASK_ID=1", "TENDRIL_TRY=1"]
  ) expect(lines).toContain(line);
  expect(stdout).toMatch(/^PATH=\/opt\/first\/bin:\/opt\/second\/bin:.+$/m);
  const sandbox = /^TENDRIL_SANDBOX=(.*)\/work$/m.exec(stdout)![1];
  for (const name of ["TMPDIR", "TEMP", "TMP"]) expect(lines).toContain(`${name}=${sandbox}/tmp`);
  expect(stdout).not.toMatch(/BUN_|TENDRIL_SECRET|DISPLAY/);
});

test("start() passes a variable of 100 KB and names one that is too large", async () => {
  await using fixture = await TaskFixture.open();
  const large = await fixture.run("echo ${#BIG}", { env: { BIG: "x".repeat(100_000) } });
  expect(large.stdout).toBe("100000\n");
  const tooLarge = await fixture.run("true", { env: { BIG: "x".repeat(200_000) } });
  expect(tooLarge.end).toMatchObject({
    kind: "start_failed",
    message: 'Cannot pass variable "BIG" to the command: with its name it has 200004 bytes, ' +
      "the system takes at most 131071",
  });
  const command = await fixture.run(`: ${"x".repeat(200_000)}`);
  expect(command.end).toMatchObject({ kind: "start_failed" });
  expect(fixture.groups.size).toBe(0);
  expect((await fixture.run("echo next")).stdout).toBe("next\n");
});

for (const [way, options] of WAYS) {
  test(`start() ends what stays in the group before it says so (${way})`, async () => {
    await using fixture = await TaskFixture.open(options);
    const { sandbox, process } = await fixture.start(
      "(trap '' TERM HUP; echo $$ > shell; sh -c 'echo $$ > child; exec sleep 1000' & sleep 1000) & " +
        "while [ ! -s child ]; do :; done",
    );
    const end = await process.ended;
    expect(end).toMatchObject({ kind: "exit", exitCode: 0, hasSurvivors: false });
    expect(isAlive(await readId(sandbox.directory, "child"))).toBe(false);
    expect(fixture.groups.size).toBe(0);
    await sandbox.remove();
  });

  test(`start() ends a process that left the session (${way})`, async () => {
    await using fixture = await TaskFixture.open(options);
    const { sandbox, process } = await fixture.start(
      "setsid sh -c 'echo $$ > id; sleep 1000; :' & while [ ! -s id ]; do :; done",
    );
    expect((await process.ended).hasSurvivors).toBe(false);
    expect(isAlive(await readId(sandbox.directory, "id"))).toBe(false);
    await sandbox.remove();
  });
}

test("start() ends a process that left the session and cleared its environment", async () => {
  await using fixture = await TaskFixture.open();
  const { sandbox, process } = await fixture.start(
    "env -i setsid sh -c 'echo $$ > id; /bin/sleep 1000; :' & while [ ! -s id ]; do :; done",
  );
  await process.ended;
  expect(isAlive(await readId(sandbox.directory, "id"))).toBe(false);
  await sandbox.remove();
});

test("start() leaves another task's orphans alone until that task has ended", async () => {
  await using fixture = await TaskFixture.open();
  const first = await fixture.start(
    "(setsid sh -c 'echo $$ > id; sleep 1000; :' &) ; sleep 1000; :",
  );
  const id = await readId(first.sandbox.directory, "id");
  await fixture.run("true");
  expect(isAlive(id)).toBe(true);
  first.process.stop(0);
  await first.process.ended;
  expect(isAlive(id)).toBe(false);
  await first.sandbox.remove();
});

test("start() leaves no ended child in the process table", async () => {
  await using fixture = await TaskFixture.open();
  const { stdout } = await fixture.run("setsid sh -c 'sleep 1000' & echo $!; sleep 0.01");
  expect(readProcess(Number(stdout))).toBeUndefined();
});

test("stop() asks first, and a task that listens ends as it likes", async () => {
  await using fixture = await TaskFixture.open();
  const { sandbox, process } = await fixture.start(
    "trap 'echo bye; exit 5' TERM; echo $$ > id; while :; do sleep 0.01; done",
  );
  await readId(sandbox.directory, "id");
  process.stop(60_000);
  expect(await process.ended).toMatchObject({ kind: "exit", exitCode: 5 });
  expect(readText(sandbox, "stdout")).toBe("bye\n");
  await sandbox.remove();
});

test("stop() leaves the grace to children of a shell that goes at once", async () => {
  await using fixture = await TaskFixture.open();
  const { sandbox, process } = await fixture.start(
    `sh -c 'trap "sleep 0.05; echo saved > saved; exit" TERM; echo $$ > id; ` +
      `while :; do sleep 0.01; done'; true`,
  );
  await readId(sandbox.directory, "id");
  process.stop(60_000);
  expect(await process.ended).toMatchObject({ kind: "signal", signal: "SIGTERM" });
  expect(existsSync(join(sandbox.directory, "saved"))).toBe(true);
  await sandbox.remove();
});

test("stop() kills a group that does not listen, stopped or not", async () => {
  await using fixture = await TaskFixture.open();
  const { sandbox, process } = await fixture.start(
    "trap '' TERM; sh -c 'echo $$ > child; sleep 1000; :' & echo $$ > id; kill -STOP $$; sleep 1000",
  );
  const child = await readId(sandbox.directory, "child");
  await readId(sandbox.directory, "id");
  process.stop(50);
  expect(await process.ended).toMatchObject({ kind: "signal", signal: "SIGKILL" });
  expect(isAlive(child)).toBe(false);
  await sandbox.remove();
});

test("endStrays() ends what left its session and environment, where no task runs", async () => {
  await using fixture = await TaskFixture.open();
  const script = "env -i setsid sh -c 'echo $$; sleep 1000; :' &";
  // As a call of a library leaves it: its leader is no task's.
  const leader = spawn("/bin/sh", ["-c", script], { detached: true });
  const id = Number((await once(leader.stdout, "data"))[0]);
  await until("its parent to end", () => readProcess(id)?.parentId === process.pid);
  expect(isAlive(id)).toBe(true);
  await fixture.endStrays();
  expect(readProcess(id)).toBeUndefined();
});

test("close() ends everything that runs", async () => {
  const fixture = await TaskFixture.open();
  const { sandbox } = await fixture.start("trap '' TERM; echo $$ > id; sleep 1000; sleep 1000");
  const id = await readId(sandbox.directory, "id");
  await fixture[Symbol.asyncDispose]();
  expect(isAlive(id)).toBe(false);
  expect(existsSync(fixture.folder.path)).toBe(false);
});
