import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { decodeDigitSet } from "../../../../scripts/examples/mnist/digit_set.ts";
import { packEnvironment } from "../../../../scripts/examples/mnist/environment.ts";
import { decodeNetwork } from "../../../../scripts/examples/mnist/network.ts";

const directory = mkdtempSync(join(tmpdir(), "tendril-environment-"));
const archive = join(directory, "made/env.tar.gz");
const root = join(directory, "root");

beforeAll(async () => {
  await packEnvironment(archive);
  mkdirSync(root);
  expect(Bun.spawnSync(["tar", "-xzf", archive, "-C", root]).exitCode).toBe(0);
});

afterAll(() => rmSync(directory, { recursive: true }));

/** Runs a command as a worker does: only the environment and the system in its reach. */
function runTask(command: string, env: Record<string, string>) {
  const result = Bun.spawnSync(["/bin/sh", "-c", command], {
    cwd: directory,
    env: { PATH: `${root}/bin:/bin:/usr/bin`, ...env },
  });
  return {
    exitCode: result.exitCode,
    stdout: result.stdout.toString(),
    stderr: result.stderr.toString(),
  };
}

test("packEnvironment() packs the digits, and leaves only the archive", async () => {
  const digits = async (name: string) =>
    decodeDigitSet(await Bun.file(join(root, "share/digits", name)).bytes()).labels.length;
  expect(await digits("train.bin")).toBe(8000);
  expect(await digits("test.bin")).toBe(2000);
  expect(readdirSync(join(directory, "made"))).toEqual(["env.tar.gz"]);
});

test("packEnvironment() packs a command that trains with nothing else installed", async () => {
  const command = "train --seed 1 --rate 0.05 --epochs 1 --output 'my model'";
  const result = runTask(command, { TENDRIL_EXECUTABLE: process.execPath });
  expect(result).toEqual({
    exitCode: 0,
    stdout: expect.stringMatching(/^epoch 1\/1: loss 0\.\d{4}\n$/),
    stderr: "",
  });
  const model = await Bun.file(join(directory, "my model")).bytes();
  expect(decodeNetwork(model).weights.some((weight) => weight !== 0)).toBe(true);
});

test("packEnvironment() packs a command that says what is wrong with its call", () => {
  const env = { TENDRIL_EXECUTABLE: process.execPath };
  expect(runTask("train", {}).stderr).toContain("TENDRIL_EXECUTABLE");
  expect(runTask("train", {}).exitCode).not.toBe(0);
  const wrong = runTask("train --epochs 2.5", env);
  expect(wrong.stderr).toContain('Cannot use "2.5" as --epochs');
  expect(wrong.exitCode).toBe(1);
});

test("packEnvironment() packs again only what is out of date, to the same bytes", async () => {
  const before = await Bun.file(archive).bytes();
  const { ino } = statSync(archive);
  await packEnvironment(archive);
  expect(statSync(archive).ino).toBe(ino);
  utimesSync(archive, 0, 0);
  await packEnvironment(archive);
  expect(statSync(archive).mtimeMs).toBeGreaterThan(0);
  expect(Buffer.compare(await Bun.file(archive).bytes(), before)).toBe(0);
});
