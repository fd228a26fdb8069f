import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { ClientError } from "../../manager/client_error.ts";
import { connectClient, findManager } from "../../manager/find_manager.ts";
import { Manager } from "../../manager/manager.ts";
import { RemoteManager } from "../../manager/remote_manager.ts";
import { accessPath } from "../../shared/access_file.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-remote-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

/** A client that takes itself to be on another host than the manager. */
async function connectFarAway(): Promise<RemoteManager> {
  return new RemoteManager(await connectClient({}, { waitMs: 0 }), "another host");
}

/** Sends a file, a tree and bytes to the manager, and brings them back. */
async function passFiles(): Promise<void> {
  await using remote = await connectFarAway();
  const path = (name: string): string => join(home, name);
  await writeFile(path("large"), new Uint8Array(3_000_000).fill(7));
  await mkdir(path("tree/empty"), { recursive: true });
  await writeFile(path("tree/leaf"), "leaf");
  await chmod(path("tree/leaf"), 0o755);
  const [large, tree] = [remote.file(path("large"), { mode: 0o600 }), remote.file(path("tree"))];
  await mkdir(path("back"));
  await remote.fetch(large, path("back/large"));
  await remote.fetch(tree, path("back/tree"));
  // Over what is there.
  await remote.fetch(tree, path("back/tree"));
  expect(await readFile(path("back/large"))).toEqual(await readFile(path("large")));
  expect(((await lstat(path("back/large"))).mode & 0o777).toString(8)).toBe("600");
  expect((await readdir(path("back"))).sort()).toEqual(["large", "tree"]);
  expect((await readdir(path("back/tree"))).sort()).toEqual(["empty", "leaf"]);
  expect(((await lstat(path("back/tree/leaf"))).mode & 0o100) !== 0).toBe(true);
  expect(await remote.buffer("oak").text()).toBe("oak");
  expect((await large.contents()).length).toBe(3_000_000);
  await expect(tree.contents()).rejects.toThrow("Cannot read the contents of a directory");
}

test("a remote manager passes files and directories whole, over plain http", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  await passFiles();
});

test("a remote manager passes files and directories whole, over TLS", async () => {
  await using manager = await Manager.start({ name: "oak", listen: "0.0.0.0:0" });
  expect(manager.address).toStartWith("https://");
  await passFiles();
});

test("fetch() leaves nothing behind where it cannot write", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  await using remote = await connectFarAway();
  await mkdir(join(home, "out/taken/by"), { recursive: true });
  const file = remote.buffer("oak");
  await expect(remote.fetch(file, join(home, "out/taken"))).rejects.toThrow(
    `Cannot fetch "${join(home, "out/taken")}" of manager "oak": a directory is in the way`,
  );
  expect(await readdir(join(home, "out"))).toEqual(["taken"]);
});

test("a remote manager refuses what a manager refuses", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  await using remote = await Manager.connect();
  await using other = await Manager.connect();
  expect(() => remote.submit({ command: "" })).toThrow("Cannot take command of submit");
  expect(() => remote.submit({ command: "true", cpus: 2 } as never)).toThrow(
    'Cannot take "cpus" as an option of submit',
  );
  expect(() => remote.submit({ command: "true", inputs: { a: other.temp() } })).toThrow(
    'Cannot take input "a" as a file: it is no file of this remote manager',
  );
  expect(() => remote.file("a", { peerTransfer: 1 } as never)).toThrow("peerTransfer");
  await expect(Manager.connect({ nme: "oak" } as never)).rejects.toThrow('Cannot take "nme"');
  const wrong = remote.submit({ command: "true", inputs: { "../a": remote.buffer("") } });
  const error = await wrong.submitted().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ClientError);
  expect((error as ClientError).code).toBe("usage");
  expect((error as ClientError).message).toContain('Cannot take input "../a" as a mount');
});

test("findManager() waits for a manager that only starts, and says so once", async () => {
  const said: string[] = [];
  const onWait = (): void => void said.push("waiting");
  const found = findManager({ name: "oak" }, { waitMs: 20_000, onWait });
  await using _manager = await Manager.start({ name: "oak" });
  expect((await found).name).toBe("oak");
  expect(said).toEqual(["waiting"]);
  expect((await findManager({}, { waitMs: 20_000, onWait })).name).toBe("oak");
  expect(said).toEqual(["waiting"]);
});

test("Manager.connect() says which managers there are when there is none of that name", async () => {
  await expect(Manager.connect({ timeout: 0 })).rejects.toThrow("no manager of this user runs");
  await using _manager = await Manager.start({ name: "oak" });
  await expect(Manager.connect({ name: "elm", timeout: 0 })).rejects.toThrow(
    'Cannot find manager "elm": these run: oak',
  );
});

test("Manager.connect() tells a manager that was killed from one that is there", async () => {
  await using _manager = await Manager.start({ name: "oak" });
  const access = JSON.parse(await readFile(accessPath("oak"), "utf8"));
  // Pids end at 2^22: PID_MAX_LIMIT of Linux. Nothing listens on port 1.
  const stale = { ...access, name: "ash", pid: 2 ** 22 + 1, urls: ["http://127.0.0.1:1"] };
  await writeFile(accessPath("ash"), JSON.stringify(stale), { mode: 0o600 });
  await expect(Manager.connect({ name: "ash", timeout: 0 })).rejects.toThrow(
    'Cannot ask manager "ash": it has ended: its process 4194305 is gone',
  );
});

test("a remote manager fails what is asked once its manager has closed", async () => {
  const manager = await Manager.start({ name: "oak" });
  await using remote = await Manager.connect();
  const task = remote.submit({ command: "true" });
  await task.submitted();
  const result = task.then(() => "came", String);
  await manager.close();
  expect(await result).toBe('ClientError: Cannot ask manager "oak": it has ended');
  await expect(remote.status()).rejects.toThrow("it has ended");
});
