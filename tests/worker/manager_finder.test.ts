import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";

import { join } from "@std/path";

import { ManagerFinder } from "../../worker/manager_finder.ts";

class Home implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly #before: string | undefined = process.env["TENDRIL_HOME"];

  constructor() {
    process.env["TENDRIL_HOME"] = this.path;
    mkdirSync(join(this.path, "managers"));
  }

  write(name: string, more: object = {}): string {
    const path = join(this.path, "managers", `${name}.json`);
    const access = {
      version: 1,
      name,
      managerId: "m1",
      urls: ["https://10.0.0.1:1"],
      certificate: "PEM",
      secrets: { worker: "w".repeat(43) },
      pid: process.pid,
      host: hostname(),
      startedAtMs: 5,
      ...more,
    };
    writeFileSync(path, JSON.stringify(access), { mode: 0o600 });
    return path;
  }

  [Symbol.dispose](): void {
    if (this.#before === undefined) delete process.env["TENDRIL_HOME"];
    else process.env["TENDRIL_HOME"] = this.#before;
    rmSync(this.path, { recursive: true, force: true });
  }
}

test("ManagerFinder.read() says what is missing of a named manager until it is there", async () => {
  using home = new Home();
  const finder = await ManagerFinder.open({ name: "demo" });
  expect([finder.manager, finder.name]).toEqual(['manager "demo"', "demo"]);
  await expect(finder.read()).rejects.toThrow("no access file yet at ");
  const path = home.write("demo");
  expect(await finder.read()).toEqual({
    urls: ["https://10.0.0.1:1"],
    publishedUrls: ["https://10.0.0.1:1"],
    certificate: "PEM",
    secret: "w".repeat(43),
    identity: "m1 5",
  });
  rmSync(path);
  await expect(finder.read()).rejects.toThrow("no access file any more at ");
});

test("ManagerFinder.read() tells of a manager whose process has ended", async () => {
  using home = new Home();
  home.write("demo", { pid: 2 ** 30 });
  const finder = await ManagerFinder.open({ name: "demo" });
  expect((await finder.read()).ended).toContain("has ended");
});

test("ManagerFinder takes the name of an access file that comes later from its path", async () => {
  using home = new Home();
  const path = join(home.path, "site a.json");
  const finder = await ManagerFinder.open({ access: path });
  expect([finder.name, finder.manager]).toEqual(["site a", `the manager of "${path}"`]);
});

test("ManagerFinder dials only the url that is stated, and knows the others", async () => {
  using home = new Home();
  const access = home.write("demo");
  const url = "https://127.0.0.1:9";
  const finder = await ManagerFinder.open({ access, url });
  expect(await finder.read()).toMatchObject({ urls: [url], publishedUrls: ["https://10.0.0.1:1"] });
});

test("ManagerFinder.open() keeps to the one manager it found, and needs one when unnamed", async () => {
  using home = new Home();
  await expect(ManagerFinder.open({})).rejects.toThrow("no manager of this user runs");
  home.write("demo");
  const finder = await ManagerFinder.open({});
  home.write("other");
  expect((await finder.read()).identity).toBe("m1 5");
  expect(finder.name).toBe("demo");
});

test("ManagerFinder.open() fails at once with a file that is of no use", async () => {
  using home = new Home();
  home.write("client", { secrets: { client: "c" } });
  await expect(ManagerFinder.open({ name: "client" })).rejects.toThrow("has no worker secret");
  home.write("bad", { version: 9 });
  await expect(ManagerFinder.open({ name: "bad" })).rejects.toThrow("Cannot use access file");
  await expect(ManagerFinder.open({ name: "../x" })).rejects.toThrow(RangeError);
});
