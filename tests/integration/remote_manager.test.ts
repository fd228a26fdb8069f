/** Scripts that connect to a manager elsewhere: tasks, results and files, near and far. */

import { expect, test } from "bun:test";
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";

import { Manager, RemoteManager, TaskError } from "../../mod.ts";
import { connectClient } from "../../manager/find_manager.ts";
import { accessPath, readAccessFile } from "../../shared/access_file.ts";
import { Scratch, until } from "./scratch.ts";
import { TcpProxy } from "./tcp_proxy.ts";

/** A client that takes itself to be on another host than the manager. */
async function connectFrom(host: string, access?: string): Promise<RemoteManager> {
  const target = access === undefined ? {} : { access };
  return new RemoteManager(await connectClient(target, { waitMs: 0 }), host);
}

test("Manager.connect() gives tasks whose results are those of the manager's own", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ name: "oak", workers: 1 });
  await using remote = await Manager.connect({ name: "oak" });
  expect([remote.name, remote.address]).toEqual(["oak", manager.address]);
  const task = remote.submit({
    command: "cat words; echo $WHO >&2",
    inputs: { words: remote.buffer("elm\n") },
    env: { WHO: "me" },
    tag: "t",
    category: "c",
  });
  const result = await task;
  expect(result).toMatchObject({
    id: 1,
    tag: "t",
    category: "c",
    try: 1,
    outcome: "success",
    exitCode: 0,
    message: "",
    stdout: "elm\n",
    stderr: "me\n",
    requested: {},
  });
  expect(result.task).toBe(task);
  expect([task.id as number, await task.state()]).toEqual([1, "done"]);
  const failing = remote.submit({ command: "echo no >&2; exit 3" });
  const error = await failing.orThrow().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TaskError);
  expect((error as TaskError).message).toBe(
    "Task 2 ended as exit: The command ended with exit code 3: no",
  );
}, 120_000);

test("a remote manager lists what there is, cancels, tunes and shows logs", async () => {
  await using _scratch = await Scratch.open();
  await using manager = await Manager.start({ name: "oak", workers: { count: 1, cores: 1 } });
  await using remote = await Manager.connect();
  const first = await remote.submit({ command: "echo out; echo err >&2; exit 1" });
  const logs = await remote.logs(first.id);
  expect([logs.stdout, logs.stderr].map((bytes) => new TextDecoder().decode(bytes))).toEqual([
    "out\n",
    "err\n",
  ]);
  const blocked = remote.submit({ command: "sleep 100", cores: 1, tag: "slow" });
  const queued = remote.submit({ command: "sleep 100", cores: 1, tag: "slow" });
  await Promise.all([blocked.submitted(), queued.submitted()]);
  const rows = await remote.tasks();
  expect(rows.map(({ id, outcome }) => [id as number, outcome])).toEqual([
    [1, "exit"],
    [2, undefined],
    [3, undefined],
  ]);
  expect((await remote.workers()).map(({ state }) => state)).toEqual(["connected"]);
  expect(await remote.cancel({ tag: "slow" })).toBe(2);
  expect([(await blocked).outcome, (await queued).outcome]).toEqual(["cancelled", "cancelled"]);
  await remote.tune({ dispatchAhead: 3 });
  await expect(remote.tune({ dispatchAhead: -1 })).rejects.toThrow("dispatchAhead");
  // Between the two questions a worker may tell of something.
  while (!Bun.deepEquals((await remote.status()).tasks, manager.status().tasks)) { /* anew */ }
}, 120_000);

test(
  "a remote manager keeps copies of temps, removes them, and lets go of what is used",
  async () => {
    await using _scratch = await Scratch.open();
    const policies = { pruneTemps: "consumed" } as const;
    await using _manager = await Manager.start({ name: "oak", workers: 2, policies });
    await using remote = await Manager.connect();
    const copies = async (): Promise<unknown[]> => {
      return (await remote.files()).map(({ replicas }) => replicas);
    };
    const until = async (wanted: number[]): Promise<void> => {
      while (JSON.stringify(await copies()) !== JSON.stringify(wanted)) { /* each looks anew */ }
    };
    const kept = remote.temp({ replicas: 2 });
    const used = remote.temp({ release: "auto" });
    const command = "echo kept > kept; echo used > used";
    await remote.submit({ command, outputs: { kept, used } });
    await until([2, 1]);
    await remote.submit({ command: "cat used", inputs: { used } });
    await until([2, 0]);
    await remote.replicate(kept, 1);
    await expect(remote.replicate(kept, 0)).rejects.toThrow("count of replicate");
    await remote.prune(kept);
    await until([0, 0]);
    expect(await kept.text()).toBe("kept\n");
  },
  120_000,
);

test("completed() of a remote manager gives each result once, as tasks end", async () => {
  await using _scratch = await Scratch.open();
  await using _manager = await Manager.start({ name: "oak", workers: 1 });
  await using remote = await Manager.connect();
  // More tasks than a manager may be asked for at a time wait for what no worker has.
  for (let index = 0; index < 60; index += 1) {
    remote.submit({ command: "true", features: ["gills"], tag: "slow" });
  }
  for (let index = 0; index < 3; index += 1) remote.submit({ command: "true", tag: "fast" });
  const tags: (string | undefined)[] = [];
  for await (const { tag } of remote.completed()) {
    tags.push(tag);
    if (tags.length === 3) expect(await remote.cancel({ tag: "slow" })).toBe(60);
  }
  expect(tags.slice(0, 3)).toEqual(["fast", "fast", "fast"]);
  expect(tags).toHaveLength(63);
  expect(remote.isEmpty()).toBe(true);
  expect(await remote.wait()).toBeUndefined();
}, 120_000);

test("a client on another host sends its files, and has outputs brought to it", async () => {
  await using scratch = await Scratch.open();
  await using _manager = await Manager.start({ name: "oak", workers: 1 });
  await using remote = await connectFrom("another");
  await mkdir(scratch.path("tree/sub"), { recursive: true });
  await writeFile(scratch.path("tree/sub/leaf"), "leaf\n");
  await symlink("sub/leaf", scratch.path("tree/link"));
  await writeFile(scratch.path("tool"), `#!/bin/sh\n# ${"x".repeat(200_000)}\necho made\n`);
  await chmod(scratch.path("tool"), 0o755);
  const kept = remote.temp();
  const result = await remote.submit({
    command: "./tool > out; cat tree/link > kept; cp -r tree made",
    inputs: { tool: remote.file(scratch.path("tool")), tree: remote.file(scratch.path("tree")) },
    outputs: {
      out: remote.file(scratch.path("far/out"), { mode: 0o640 }),
      made: remote.file(scratch.path("far/made")),
      kept,
    },
  });
  expect([result.outcome, result.stderr]).toEqual(["success", ""]);
  expect(await readFile(scratch.path("far/out"), "utf8")).toBe("made\n");
  expect(await readFile(scratch.path("far/made/link"), "utf8")).toBe("leaf\n");
  expect((await readdir(scratch.path("far"))).sort()).toEqual(["made", "out"]);
  expect(await kept.text()).toBe("leaf\n");
  expect(await remote.fetch(kept, scratch.path("kept"))).toBe(scratch.path("kept"));
  expect(await readFile(scratch.path("kept"), "utf8")).toBe("leaf\n");
  await remote.undeclare(kept);
  expect(() => remote.submit({ command: "true", inputs: { kept } })).toThrow("it was undeclared");
}, 120_000);

test("a client on the manager's host names paths, and the manager writes to them", async () => {
  await using scratch = await Scratch.open();
  await using _manager = await Manager.start({ name: "oak", workers: 1 });
  await using remote = await Manager.connect();
  await writeFile(scratch.path("in"), "near\n");
  const task = remote.submit({
    command: "cat in > out",
    inputs: { in: remote.file(scratch.path("in")) },
    outputs: { out: remote.file(scratch.path("out")) },
  });
  await task.orThrow();
  expect(await readFile(scratch.path("out"), "utf8")).toBe("near\n");
  expect((await remote.files()).map(({ source }) => source).sort()).toEqual([
    scratch.path("in"),
    scratch.path("out"),
  ]);
}, 120_000);

test(
  "submit() of a file that cannot be read rejects; when nobody hears, close() does",
  async () => {
    await using scratch = await Scratch.open();
    await using _manager = await Manager.start({ name: "oak" });
    const message = `Cannot read file "${scratch.path("gone")}": `;
    const submit = (remote: RemoteManager) => {
      const inputs = { gone: remote.file(scratch.path("gone")) };
      return remote.submit({ command: "true", inputs });
    };
    const heard = await connectFrom("another");
    await expect(submit(heard).orThrow()).rejects.toThrow(message);
    await heard.close();
    const unheard = await connectFrom("another");
    submit(unheard);
    await expect(unheard.close()).rejects.toThrow(message);
  },
  120_000,
);

test("tasks are submitted once when the connection breaks, and their results come", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ name: "oak", workers: 1 });
  await using proxy = await TcpProxy.open(manager.address);
  const access = await readAccessFile(accessPath("oak"));
  const file = await scratch.accessFile({ ...access, urls: [proxy.url] });
  await using remote = await connectFrom("another", file);
  const flag = scratch.path("flag");
  const tasks = Array.from({ length: 20 }, () => {
    return remote.submit({ command: `until [ -e ${flag} ]; do sleep 0.02; done`, cores: 0.01 });
  });
  proxy.cut();
  proxy.mend();
  const results = Promise.all(tasks);
  await until(() => manager.status().tasks.submitted === 20, "all are submitted");
  proxy.cut();
  proxy.mend();
  await writeFile(flag, "");
  expect((await results).map(({ outcome }) => outcome)).toEqual(Array(20).fill("success"));
  expect(manager.status().tasks.submitted).toBe(20);
}, 120_000);

test("RemoteManager.miniTask() makes files of files of this client, as unpack does", async () => {
  await using scratch = await Scratch.open();
  await using _manager = await Manager.start({ workers: 1 });
  await using remote = await connectFrom("elsewhere");
  await writeFile(scratch.path("local"), "far\n");
  const word = remote.miniTask(
    { command: "tr a-z A-Z < in > word", inputs: { in: remote.file(scratch.path("local")) } },
    "word",
    { cache: "worker" },
  );
  const archive = remote.miniTask(
    { command: "tar cf all.tar word", inputs: { word }, timeout: "1m", cores: 1 },
    "all.tar",
  );
  const tree = remote.unpack(archive);
  const { stdout } = await remote.submit({ command: "cat tree/word", inputs: { tree } });
  expect([stdout, await word.text()]).toEqual(["FAR\n", "FAR\n"]);
  const wrong = { command: "true", outputs: {} } as { command: string };
  expect(() => remote.miniTask(wrong, "out")).toThrow('"outputs" as an option of miniTask');
  expect(() => remote.miniTask({ command: "true" }, "/out")).toThrow("mount of the mini task");
}, 120_000);
