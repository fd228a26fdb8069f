/** Directory trees as inputs and outputs of every kind of file, from worker to worker. */

import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";

import { join } from "@std/path";

import { Manager } from "../../mod.ts";
import { Scratch, until } from "./scratch.ts";

/** Some seconds, long ago. */
const LONG_AGO = 1_000_000_000;

/** A tree with all that trees have. */
function makeTree(path: string): void {
  mkdirSync(join(path, "sub", "deep"), { recursive: true });
  mkdirSync(join(path, "empty", "inside"), { recursive: true });
  writeFileSync(join(path, "plain"), "plain");
  writeFileSync(join(path, "sub", "deep", "größe x"), "unicode");
  writeFileSync(join(path, "sub", "large"), Buffer.alloc(300_000, 7));
  writeFileSync(join(path, "sub", "run"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  symlinkSync("../plain", join(path, "sub", "link"));
  symlinkSync("sub/deep", join(path, "to-folder"));
  symlinkSync("nowhere", join(path, "dangling"));
  for (const name of ["plain", "sub/deep/größe x", "sub/run", "sub/large"]) {
    utimesSync(join(path, name), LONG_AGO, LONG_AGO);
  }
  for (const name of ["empty/inside", "empty", "sub/deep", "sub"]) {
    utimesSync(join(path, name), LONG_AGO + 5, LONG_AGO + 5);
  }
}

/** `{path: what is there}`, of a tree: type, execute bit, mtime in seconds, contents or target. */
function describe(root: string): { [path: string]: string } {
  const found: { [path: string]: string } = {};
  const look = (path: string): void => {
    for (const name of readdirSync(join(root, path)).sort()) {
      const entry = path === "" ? name : `${path}/${name}`;
      const stats = lstatSync(join(root, entry));
      const seconds = Math.floor(stats.mtimeMs / 1000);
      if (stats.isSymbolicLink()) found[entry] = `link to ${readlinkSync(join(root, entry))}`;
      else if (stats.isDirectory()) {
        found[entry] = `directory ${seconds}`;
        look(entry);
      } else {
        const bit = (stats.mode & 0o100) === 0 ? "file" : "program";
        const text = readFileSync(join(root, entry)).subarray(0, 20).toString("hex");
        found[entry] = `${bit} ${seconds} ${text}`;
      }
    }
  };
  look("");
  return found;
}

/** A command that gives `from` on as `to`, with all that can be kept. */
function copy(from: string, to: string): string {
  return `cp -a ${from}/. ${to}`;
}

test(
  "A temp directory is passed from worker to worker, through three generations, as it is",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const features = ["one", "two", "three"];
    for (const feature of features) await scratch.worker(manager, { args: ["--feature", feature] });
    makeTree(scratch.path("tree"));
    let tree = manager.file(scratch.path("tree"));
    for (const feature of features) {
      const next = manager.temp();
      const { outcome, message } = await manager.submit({
        command: `mkdir next && ${copy("tree", "next")} && test "$(next/sub/run)" = ran`,
        inputs: { tree },
        outputs: { next },
        features: [feature],
      });
      expect([feature, outcome, message]).toEqual([feature, "success", ""]);
      tree = next;
    }
    expect(manager.status().bytes.workerToWorker).toBeGreaterThan(600_000);
    const back = await manager.fetch(tree, scratch.path("back"));
    expect(describe(back)).toEqual(describe(scratch.path("tree")));
  },
  120_000,
);

test("A directory comes back to its path, small or large, over one that was there", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: 1 });
  makeTree(scratch.path("tree"));
  const tree = manager.file(scratch.path("tree"));
  const small = manager.file(scratch.path("small"));
  const large = manager.file(scratch.path("results", "large"));
  mkdirSync(scratch.path("small"));
  writeFileSync(scratch.path("small", "old"), "");
  const result = await manager.submit({
    command: "mkdir -p small/empty out/large && echo x > small/x && " + copy("tree", "out/large"),
    inputs: { tree },
    outputs: { small, "out/large": large },
  });
  expect([result.outcome, result.message]).toEqual(["success", ""]);
  expect(readdirSync(scratch.path("small")).sort()).toEqual(["empty", "x"]);
  expect(describe(scratch.path("results", "large"))).toEqual(describe(scratch.path("tree")));
}, 120_000);

test(
  "A directory of every kind is an input of a task, and of the next one on another worker",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    for (const feature of ["one", "two"]) {
      await scratch.worker(manager, { args: ["--feature", feature] });
    }
    await until(() => manager.status().workers.connected === 2, "both workers joined");
    makeTree(scratch.path("tree"));
    execFileSync("tar", ["czf", scratch.path("tree.tgz"), "-C", scratch.path("tree"), "."]);
    const local = manager.file(scratch.path("tree"));
    const kinds = {
      local,
      url: manager.url(`file://${scratch.path("tree")}`),
      unpacked: manager.unpack(scratch.path("tree.tgz")),
      made: manager.miniTask({ command: copy("tree", "made"), inputs: { tree: local } }, "made"),
      shared: manager.miniTask(
        { command: copy("tree", "made"), inputs: { tree: local } },
        "made",
        { peerTransfer: true },
      ),
    };
    const wanted = describe(scratch.path("tree"));
    for (const [kind, tree] of Object.entries(kinds)) {
      for (const feature of ["one", "two"]) {
        const back = manager.file(scratch.path(`${kind}-${feature}`));
        const command = `mkdir back && ${copy("tree", "back")}`;
        const { outcome, message } = await manager.submit({
          command: kind === "made" || kind === "shared" ? command : command,
          inputs: { tree },
          outputs: { back },
          features: [feature],
        });
        expect([kind, outcome, message]).toEqual([kind, "success", ""]);
        expect([kind, describe(scratch.path(`${kind}-${feature}`))]).toEqual([kind, wanted]);
      }
    }
  },
  120_000,
);

test("A directory that its task has shut is passed on, and an empty one too", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  for (const feature of ["one", "two"]) {
    await scratch.worker(manager, { args: ["--feature", feature] });
  }
  const shut = manager.temp();
  const empty = manager.temp();
  await manager.submit({
    command: "mkdir -p shut/sub empty && echo x > shut/sub/x && chmod 0 shut/sub/x shut/sub shut",
    outputs: { shut, empty },
    features: ["one"],
  }).orThrow();
  const { stdout, message } = await manager.submit({
    command: "cat shut/sub/x; ls -A empty | wc -l",
    inputs: { shut, empty },
    features: ["two"],
  });
  expect([stdout, message]).toEqual(["x\n0\n", ""]);
}, 120_000);
