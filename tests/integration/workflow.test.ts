import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { Manager } from "../../mod.ts";
// Its workers are the binary, which must be of these sources.
import "../binary/built.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tendril-test-"));
  process.env["TENDRIL_HOME"] = join(folder, "home");
});

afterAll(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(folder, { recursive: true, force: true });
});

test("Manager runs commands on local workers: files and directories there and back", async () => {
  const source = join(folder, "source");
  await mkdir(join(source, "sub"), { recursive: true });
  await writeFile(join(source, "sub", "a.txt"), "from a directory");
  await writeFile(join(folder, "big.bin"), new Uint8Array(1_000_000).fill(9));
  await using manager = await Manager.start({ workers: 2 });
  const [text, temp] = [manager.buffer(), manager.temp()];
  const big = manager.file(join(folder, "back", "big.bin"));
  const tree = manager.file(join(folder, "back", "tree"));
  const first = manager.submit({
    command: "cat d/sub/a.txt > text && cp big big2 && cp -r d tree && echo kept > temp",
    inputs: { d: manager.file(source), big: manager.file(join(folder, "big.bin")) },
    outputs: { text, temp, big2: big, tree },
  });
  const second = manager.submit({ command: "cat t; wc -c < b", inputs: { t: temp, b: big } });
  expect((await first).message).toBe("");
  expect((await second).stdout.split(/\s+/)).toEqual(["kept", "1000000", ""]);
  expect(await text.text()).toBe("from a directory");
  expect((await readFile(join(folder, "back", "big.bin"))).length).toBe(1_000_000);
  expect(await readdir(join(folder, "back", "tree", "sub"))).toEqual(["a.txt"]);
  expect(await temp.text()).toBe("kept\n");
}, 120_000);

test("Manager runs tasks in an environment that is unpacked at the worker", async () => {
  const bin = join(folder, "software", "bin");
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, "greet"), "#!/bin/sh\necho hello from the archive\n", { mode: 0o755 });
  const archive = join(folder, "software.tar.gz");
  execFileSync("tar", ["-czf", archive, "-C", join(folder, "software"), "bin"]);
  await using manager = await Manager.start({ workers: 1 });
  const environment = manager.environment(archive);
  const tasks = ["a", "b"].map((tag) => manager.submit({ command: "greet", environment, tag }));
  for (const result of await Promise.all(tasks)) {
    expect(result.message).toBe("");
    expect(result.stdout).toBe("hello from the archive\n");
  }
}, 120_000);

test("Manager calls functions of a library, and runs one by value", async () => {
  const module = join(folder, "library.ts");
  await writeFile(
    module,
    "import { readFileSync } from 'node:fs';\n" +
      "export const size = (path: string): number => readFileSync(path).length;\n" +
      "export function fail(): never { throw new RangeError('no luck'); }\n",
  );
  await using manager = await Manager.start({ workers: 1 });
  const library = manager.library({ name: "sizes", module, slots: 2 });
  expect(await library.call<number>("size", manager.buffer("12345")).value()).toBe(5);
  await expect(library.call("fail").value()).rejects.toThrow("RangeError: no luck");
  expect(await manager.run((n: number) => n * 2, 21).value()).toBe(42);
  const count = async (path: string, least: number) =>
    Math.max(least, (await import("node:fs")).statSync(path).size);
  expect(await manager.run(count, manager.buffer("12345"), 3).value()).toBe(5);
  // @ts-expect-error a file stands for a path, not for a number
  await expect(manager.run((n: number) => n * 2, manager.buffer("12345")).value()).resolves
    .toBeNaN();
}, 120_000);

test("TaskResult tells a status, a signal and a missing output apart", async () => {
  await using manager = await Manager.start({ workers: 1 });
  const results = await Promise.all([
    manager.submit({ command: "exit 3" }),
    manager.submit({ command: "kill -9 $$" }),
    manager.submit({ command: "no-such-command" }),
    manager.submit({ command: ":", outputs: { model: manager.temp() } }),
  ]);
  expect(results.map(({ outcome, exitCode, signal, mount }) => [
    outcome,
    exitCode ?? signal,
    mount,
  ])).toEqual([
    ["exit", 3, undefined],
    ["signal", "SIGKILL", undefined],
    ["exit", 127, undefined],
    ["output_missing", 0, "model"],
  ]);
}, 120_000);

test("Manager forgets long arguments of calls when their calls have ended", async () => {
  const module = join(folder, "long.ts");
  await writeFile(module, "export const size = (text: string): number => text.length;\n");
  await using manager = await Manager.start({ workers: 1 });
  const library = manager.library({ name: "long", module });
  const text = "x".repeat(3_000_000);
  expect(await library.call<number>("size", text).value()).toBe(3_000_000);
  // A later task that ended: what came before it has been dealt with.
  await manager.submit({ command: ":" });
  // Left is the library's module.
  expect(manager.status().files).toBe(1);
}, 120_000);

test(
  "workers read files of a shared file system by themselves, where a policy says so",
  async () => {
    const path = join(folder, "genome");
    await writeFile(path, "ACGT\n".repeat(100_000));
    const policies = { sharedFileSystem: true };
    await using manager = await Manager.start({ workers: 1, policies });
    const lines = join(folder, "lines");
    const task = { command: "wc -l < genome > lines", inputs: { genome: manager.file(path) } };
    const { outcome } = await manager.submit({ ...task, outputs: { lines: manager.file(lines) } });
    expect([outcome, (await readFile(lines, "utf8")).trim()]).toEqual(["success", "100000"]);
    expect(manager.status().bytes.managerToWorker).toBe(0);
  },
  120_000,
);
