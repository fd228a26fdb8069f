import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { askStatus } from "../../manager/client.ts";
import { Manager } from "../../manager/manager.ts";
import { accessPath } from "../../shared/access_file.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-client-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

test("askStatus() gives what manager.status() gives, by name or of the only one", async () => {
  await using manager = await Manager.start({ name: "oak" });
  manager.submit({ command: "true" });
  const status = await askStatus("oak");
  expect(status).toEqual(manager.status());
  expect([status.version, status.name, status.tasks.submitted]).toEqual([1, "oak", 1]);
  expect(await askStatus(undefined)).toEqual(status);
});

test("askStatus() says which managers run when it cannot tell the one that is meant", async () => {
  await expect(askStatus(undefined)).rejects.toThrow(
    "Cannot tell which manager is meant: no manager of this user runs",
  );
  await expect(askStatus("elm")).rejects.toThrow(
    'Cannot find manager "elm": no manager of this user runs',
  );
  await using _oak = await Manager.start({ name: "oak" });
  await using _ash = await Manager.start({ name: "ash" });
  await expect(askStatus(undefined)).rejects.toThrow("these run: ash, oak; use --name NAME");
  await expect(askStatus("elm")).rejects.toThrow('Cannot find manager "elm": these run: ash, oak');
});

test("askStatus() is refused with a wrong secret, a worker's secret or none", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const path = accessPath("oak");
  const access = JSON.parse(await readFile(path, "utf8"));
  const refusedWith = async (client: string | undefined, message: string) => {
    const secrets = { worker: access.secrets.worker, ...(client && { client }) };
    await writeFile(path, JSON.stringify({ ...access, secrets }));
    await expect(askStatus("oak")).rejects.toThrow(message);
  };
  await refusedWith(undefined, "its access file has no client secret");
  await refusedWith(access.secrets.worker, 'Cannot ask manager "oak" at http://127.0.0.1:');
  await refusedWith("0".repeat(access.secrets.client.length), 'Cannot ask manager "oak" at');
  await writeFile(path, JSON.stringify(access));
  expect((await askStatus("oak")).name).toBe("oak");
});
