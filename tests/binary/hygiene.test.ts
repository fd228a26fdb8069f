/** What the binary takes from where it is started, and what it leaves open to others. */

import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";

import { dirname, join } from "@std/path";

import { Manager } from "../../mod.ts";
import { readProc, Scratch, type ScratchWorker, until } from "../integration/scratch.ts";
import { BINARY } from "./built.ts";

/** Leaves a file `trapped` in the folder it lies in, whoever runs or imports it. */
function trapIn(folder: string): string {
  return `require("node:fs").writeFileSync(${JSON.stringify(join(folder, "trapped"))}, "");\n`;
}

/** What a runtime might take from the directory that it is started in. */
function hostileFiles(folder: string): Record<string, string> {
  const trap = trapIn(folder);
  const paths = { hono: ["./trap.js"], tendril: ["./trap.js"], "cbor-x": ["./trap.js"] };
  const packages = ["hono", "tendril", "cbor-x", "fflate", "cbor-extract"];
  return {
    ".env": "TENDRIL_CORES=17\nTRAP=1\n",
    ".env.local": "TRAP=1\n",
    ".env.production": "TRAP=1\n",
    "bunfig.toml": 'preload = ["./trap.js"]\n[test]\npreload = ["./trap.js"]\n',
    "package.json": JSON.stringify({ name: "x", main: "trap.js", imports: { "#a": "./trap.js" } }),
    "tsconfig.json": JSON.stringify({ compilerOptions: { paths, jsxImportSource: "hono" } }),
    "deno.json": JSON.stringify({ imports: { tendril: "./trap.js" } }),
    "trap.js": trap,
    "mod.ts": trap,
    "tendril.mjs": trap,
    "tendril.node": "",
    "build/Release/extract.node": "",
    ...Object.fromEntries(packages.flatMap((name) => [
      [`node_modules/${name}/package.json`, JSON.stringify({ name, main: "index.js" })],
      [`node_modules/${name}/index.js`, trap],
    ])),
  };
}

/** Long before every change of a hostile file: the first read of one moves it (`relatime`). */
const READ_AT_S = 86_400;

function writeHostile(folder: string): void {
  for (const [name, content] of Object.entries(hostileFiles(folder))) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
    utimesSync(join(folder, name), READ_AT_S, Date.now() / 1000);
  }
}

/** Those that were read since, the trap's mark among them. */
function readHostile(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names.filter((name) => {
    const found = lstatSync(join(folder, name));
    return found.isFile() && found.atimeMs !== READ_AT_S * 1000;
  });
}

/** Files that are mapped into the memory of a process. */
function mappedFiles(processId: number | undefined): string[] {
  const lines = readProc(processId ?? 0, "maps").split("\n");
  const paths = lines.map((line) => line.slice(73).trim()).filter((path) => path.startsWith("/"));
  return [...new Set(paths)];
}

/** Root without what makes it root: such a process may look into others no more than a user's. */
const AS_USER: readonly string[] = process.getuid?.() === 0
  ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
  : [];

async function joined(manager: Manager, count = 1): Promise<void> {
  await until(() => manager.status().workers.connected === count, `${count} workers have joined`);
}

/** One of each thing that a worker starts its own program for. */
async function useAll(manager: Manager, scratch: Scratch): Promise<void> {
  mkdirSync(scratch.path("tree"));
  writeFileSync(scratch.path("tree", "a"), "packed");
  execFileSync("tar", ["-czf", scratch.path("a.tar.gz"), "-C", scratch.path("tree"), "a"]);
  const unpacked = manager.unpack(scratch.path("a.tar.gz"));
  const task = await manager.submit({ command: "cat t/a", inputs: { t: unpacked } });
  expect(task.stdout).toBe("packed");
  expect(await manager.run((n: number) => n + 1, 1).value()).toBe(2);
}

test("tendril worker reads nothing of the directory that it is started in", async () => {
  await using scratch = await Scratch.open();
  const hostile = scratch.path("hostile");
  writeHostile(hostile);
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager, { directory: hostile });
  await joined(manager);
  await useAll(manager, scratch);
  const inTask = await manager.submit({ command: "echo $TRAP" });
  expect(inTask.stdout).toBe("\n");
  const mapped = mappedFiles(worker.child.pid);
  expect(mapped).toContain(BINARY);
  expect(mapped.filter((path) => path.endsWith(".node") || path.startsWith(hostile))).toEqual([]);
  expect(readHostile(hostile)).toEqual([]);
  // The test can tell: a file that is read is found.
  readFileSync(join(hostile, "trap.js"));
  expect(readHostile(hostile)).toEqual(["trap.js"]);
}, 120_000);

test("tendril run reads nothing of a directory that its script does not lie in", async () => {
  await using scratch = await Scratch.open();
  const hostile = scratch.path("hostile");
  writeHostile(hostile);
  mkdirSync(scratch.path("mine"));
  writeFileSync(
    scratch.path("mine", "workflow.mjs"),
    `import { readFileSync } from "node:fs";
     import { Manager } from "tendril";
     const manager = await Manager.start({ workers: 1 });
     const task = await manager.submit({ command: "cat /proc/$PPID/maps" });
     const one = await manager.run((n) => n + 1, 1).value();
     const maps = readFileSync("/proc/self/maps", "utf8") + task.stdout;
     await manager.close();
     console.log(JSON.stringify({ one, maps, trap: process.env.TRAP ?? "" }));`,
  );
  const child = spawn(BINARY, ["run", "--quiet", scratch.path("mine", "workflow.mjs")], {
    cwd: hostile,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (bytes) => said += String(bytes));
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect(code).toBe(0);
  const { one, maps, trap } = JSON.parse(said);
  expect([one, trap]).toEqual([2, ""]);
  expect(maps).not.toContain(".node\n");
  expect(maps).not.toContain(hostile);
  // These two are looked at for a script's own packages (scripts/build.ts); they name a trap.
  // What it records there is its own.
  const isOwn = /^(package|tsconfig)\.json$|^tendril-runs\//;
  const read = readHostile(hostile).filter((name) => !isOwn.test(name));
  expect(read).toEqual([]);
}, 120_000);

test("tendril worker cannot be looked into by its tasks, and leaves no core files", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager, {
    prefix: ["sh", "-c", 'ulimit -S -c $(ulimit -H -c); exec "$@"', "sh", ...AS_USER],
  });
  await joined(manager);
  const look =
    "for f in environ maps mem; do cat /proc/$PPID/$f >/dev/null 2>&1 && echo $f; done; " +
    "readlink /proc/$PPID/fd/0 && echo fd; " +
    // Its own process, and those of its children, stay open to it.
    "cat /proc/self/environ >/dev/null && echo self; " +
    "ulimit -S -c; ulimit -S -c $(ulimit -H -c) && echo raised";
  const seen = await manager.submit({ command: look });
  expect(seen.stdout.split("\n")).toEqual(["self", "0", "raised", ""]);
  // A worker that may not look into root's processes still finds what its tasks leave behind.
  const left = await manager.submit({ command: "setsid sleep 1000 & echo $!" });
  const processId = left.stdout.trim();
  await until(() => readProc(processId, "stat") === "", "what was left behind is gone");
}, 120_000);

test("tendril worker --clean-env gives tasks and libraries little of its environment", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const env = { SECRET_OF_USER: "s3cret", LC_ALL: "C", BUN_X: "1", NODE_OPTIONS: "" };
  const worker = await scratch.worker(manager, { env, args: ["--clean-env"] });
  await joined(manager);
  const told = await manager.submit({ command: "env", env: { STATED: "by task" } });
  const names = told.stdout.trim().split("\n").map((line) => line.split("=")[0] ?? "");
  const allowed = /^(HOME|LANG|LANGUAGE|LOGNAME|PATH|SHELL|TMPDIR|TZ|USER|LC_.*|TENDRIL_.*)$/;
  const set = new RegExp(
    "^(PWD|TEMP|TMP|STATED|_|SHLVL|CORES|MEMORY|DISK|GOMAXPROCS|LOKY_MAX_CPU_COUNT|" +
      ".*_(NUM_THREADS|MAX_THREADS|MAXIMUM_THREADS))$",
  );
  expect(names.filter((name) => !allowed.test(name) && !set.test(name))).toEqual([]);
  expect(names).toContain("STATED");
  expect(names).toContain("LC_ALL");
  const inLibrary = await manager.run(() => Object.keys(process.env)).value();
  expect(inLibrary).not.toContain("SECRET_OF_USER");
  expect(worker.child.exitCode).toBeNull();
}, 120_000);

test("Manager.start() has its local workers clean the environment on request", async () => {
  await using scratch = await Scratch.open();
  expect(scratch.folder).not.toBe("");
  process.env["SECRET_OF_USER"] = "s3cret";
  try {
    await using manager = await Manager.start({ workers: { count: 1, cleanEnv: true } });
    expect((await manager.submit({ command: "echo $SECRET_OF_USER" })).stdout).toBe("\n");
  } finally {
    delete process.env["SECRET_OF_USER"];
  }
}, 120_000);

/** Permission bits of others in what the worker made, and not what tasks did, below `path`. */
function openToOthers(path: string, isTasks: (name: string) => boolean): string[] {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" });
  return names.filter((name) => {
    if (isTasks(name)) return false;
    const found = lstatSync(join(path, name), { throwIfNoEntry: false });
    return found !== undefined && !found.isSymbolicLink() && (found.mode & 0o077) !== 0;
  });
}

test(
  "tendril worker keeps its workspace private under a umask of 000, and tasks that umask",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker: ScratchWorker = await scratch.worker(manager, {
      prefix: ["sh", "-c", 'umask 000; exec "$@"', "sh"],
    });
    await joined(manager);
    const output = manager.temp();
    const input = manager.buffer(new Uint8Array(100_000));
    const task = manager.submit({
      command: "umask; cp in out; touch started; while [ ! -e go ]; do sleep 0.05; done",
      inputs: { in: input },
      outputs: { out: output },
    });
    const started = () => find(worker.workspace, "started");
    await until(() => started() !== undefined, "the task runs");
    const go = join(dirname(started() ?? ""), "go");
    // What is in the cache and in a task's own folder has the modes that tasks see; the folders do not.
    const isTasks = (name: string) =>
      /\/(cache\/(\w+\/)?[^/]+|work|work\/.*)$/.test(name) ||
      /^(tendril-\d+\/[^/]+\/)cache\/.*\/.*/.test(name);
    const folders = ["cache", "sandboxes", "tmp", "trash", "logs"];
    expect(openToOthers(worker.workspace, isTasks)).toEqual([]);
    const [user = ""] = readdirSync(worker.workspace);
    // Beside it lies the store that the user's workers share.
    const [name = ""] = readdirSync(join(worker.workspace, user)).filter((it) => it !== "store");
    // Its log is written now and then.
    await until(() => existsSync(join(worker.workspace, user, name, "logs")), "it has a log");
    for (const folder of folders) {
      expect(statSync(join(worker.workspace, user, name, folder)).mode & 0o777).toBe(0o700);
    }
    writeFileSync(go, "");
    expect((await task).stdout).toBe("0000\n");
  },
  120_000,
);

function find(folder: string, name: string): string | undefined {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const found = names.find((path) => path.endsWith(`/${name}`));
  return found === undefined ? undefined : join(folder, found);
}
