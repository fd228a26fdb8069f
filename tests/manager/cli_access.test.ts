/** `tendril access`: what it writes, and what it refuses. */

import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";
import { afterEach, beforeEach, expect, test } from "bun:test";

import { writeAccessFile } from "../../manager/access.ts";
import { ACCESS_COMMAND } from "../../manager/cli_access.ts";
import { readAccessFile } from "../../shared/access_file.ts";
import { readArguments } from "../../shared/command_line.ts";

const homeBefore = process.env["TENDRIL_HOME"];
const SECRETS = { worker: "w".repeat(43), client: "c".repeat(43) };
let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-access-"));
  process.env["TENDRIL_HOME"] = home;
  await writeAccessFile({
    version: 1,
    name: "blast",
    managerId: "m1",
    urls: ["https://192.0.2.2:4000"],
    certificate: "PEM",
    secrets: SECRETS,
    pid: process.pid,
    host: hostname(),
    startedAtMs: 1,
  });
});

afterEach(async () => {
  if (homeBefore === undefined) delete process.env["TENDRIL_HOME"];
  else process.env["TENDRIL_HOME"] = homeBefore;
  await rm(home, { recursive: true });
});

const access = (...args: string[]) => {
  const { spec, run } = ACCESS_COMMAND;
  return run({ spec, given: readArguments(spec, args, {}), library: {} });
};

test("ACCESS_COMMAND writes a file with the secrets of the roles that are asked for, and the rest", async () => {
  const path = join(home, "part.json");
  expect(await access("--role", "worker", "-o", path)).toBe(0);
  const part = await readAccessFile(path);
  expect(part.secrets).toEqual({ worker: SECRETS.worker });
  expect(part).toMatchObject({ name: "blast", certificate: "PEM" });
  expect(await access("--name=blast", "--role=worker", "--role=client", `--output=${path}`)).toBe(
    0,
  );
  expect((await readAccessFile(path)).secrets).toEqual(SECRETS);
});

test("ACCESS_COMMAND writes through no link, and over nothing but an access file", async () => {
  const [path, letter] = [join(home, "part.json"), join(home, "letter")];
  await writeFile(letter, "precious", { mode: 0o600 });
  await symlink(letter, path);
  for (const output of [path, letter, home]) {
    await expect(access("--role", "worker", "-o", output)).rejects.toThrow(
      `Cannot replace "${output}" by an access file`,
    );
  }
  expect(await readFile(letter, "utf8")).toBe("precious");
});

test("ACCESS_COMMAND takes from another access file only what that one has", async () => {
  const path = join(home, "part.json");
  await access("--role", "worker", "-o", path);
  const next = ["-o", join(home, "next.json"), "--access", path];
  expect(await access("--role", "worker", ...next)).toBe(0);
  await expect(access("--role", "client", ...next)).rejects.toThrow(
    'Cannot give the client secret of manager "blast": its access file has no client secret: ' +
      "it was made for role worker",
  );
});

test("ACCESS_COMMAND refuses unknown roles, none, and no place to write to", async () => {
  await expect(access("--role", "admin", "-o", "x")).rejects.toThrow('"admin" as a role');
  await expect(access("-o", "x")).rejects.toThrow(
    "without --role: expected worker, client, viewer",
  );
  await expect(access("--role", "worker")).rejects.toThrow("without -o FILE");
});
