import { expect, test } from "bun:test";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, linkSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import process from "node:process";

import { BINARY } from "../binary/built.ts";
import { Scratch } from "./scratch.ts";

const WORKFLOW = `import { Manager } from "tendril";

await using manager = await Manager.start({ workers: 2 });

const words = ["oak", "elm"].map((word) => {
  const file = manager.temp();
  manager.submit({ command: \`echo \${word} > word\`, outputs: { word: file } });
  return file;
});
const both = await manager.submit({ command: "cat a b", inputs: { a: words[0]!, b: words[1]! } });
console.log(both.stdout.trim().split("\\n").join(" "), await manager.run((n: number) => n + 1, 1).value());
`;

/** Looks for what a hostile directory would bring into a task, a library and a function. */
const WITNESS = `import { Manager } from "tendril";

await using manager = await Manager.start({ workers: 1 });
const library = manager.library({ name: "witness", module: "./library.ts" });
const task = await manager.submit({ command: "env; cat .env bunfig.toml 2>/dev/null; true" });
const seen = [
  task.stdout,
  await library.call("variables").value(),
  await manager.run(() => JSON.stringify(process.env)).value(),
  JSON.stringify(process.env.HOSTILE ?? ""),
];
console.log(seen.map((text) => \`\${text}\`.includes("HOSTILE")).join(" "));
`;

interface Place {
  readonly directory: string;
  readonly env: Record<string, string>;
}

/** A directory with only the binary and the workflow. */
function prepare(scratch: Scratch, workflow: string): Place {
  const directory = scratch.path("directory");
  mkdirSync(directory);
  try {
    linkSync(BINARY, `${directory}/tendril`);
  } catch {
    // Another file system.
    copyFileSync(BINARY, `${directory}/tendril`);
  }
  writeFileSync(`${directory}/workflow.ts`, workflow);
  const env = { PATH: process.env["PATH"] ?? "", HOME: scratch.folder, TMPDIR: scratch.folder };
  return { directory, env };
}

/** Runs `command` there, not in this turn: this process may have to answer it. */
async function run({ directory, env }: Place, command: readonly string[]) {
  const [file = "", ...args] = command;
  const child = spawn(file, args, { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject);
  child.once("exit", resolve);
  const [stdout, stderr, status] = await Promise.all([
    Array.fromAsync(child.stdout),
    Array.fromAsync(child.stderr),
    promise,
  ]);
  return { status, stdout: stdout.join(""), stderr: stderr.join("") };
}

/** True where a program can be run without any network but loopback. */
function canUnshare(): boolean {
  return spawnSync("unshare", ["-rn", "true"]).status === 0;
}

test("tendril run needs nothing but the binary, ten lines and loopback", async () => {
  await using scratch = await Scratch.open();
  const place = prepare(scratch, WORKFLOW);
  const program = ["./tendril", "run", "--quiet", "--workers", "2", "workflow.ts"];
  const alone = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", ...program];
  const result = await run(place, canUnshare() ? alone : program);
  expect(result).toEqual({ status: 0, stdout: "oak elm 2\n", stderr: "" });
  expect(readdirSync(place.directory).sort()).toEqual([
    "tendril",
    "tendril-runs",
    "workflow.ts",
  ]);
}, 120_000);

test("After tendril init the workflow is checked by Deno and runs on Deno and Bun", async () => {
  await using scratch = await Scratch.open();
  const place = prepare(scratch, WORKFLOW);
  execFileSync("rm", [`${place.directory}/workflow.ts`]);
  expect((await run(place, ["./tendril", "init"])).status).toBe(0);
  const starter = await run(place, ["./tendril", "run", "--quiet", "workflow.ts"]);
  expect([starter.status, starter.stderr]).toEqual([0, ""]);
  writeFileSync(`${place.directory}/workflow.ts`, WORKFLOW);
  const checked = await run(place, ["deno", "check", "workflow.ts"]);
  expect([checked.status, checked.stderr]).toEqual([0, expect.not.stringContaining("error")]);
  for (const command of [["deno", "run", "-A", "workflow.ts"], ["bun", "workflow.ts"]]) {
    const result = await run(place, command);
    expect([command, result]).toEqual([command, { status: 0, stdout: "oak elm 2\n", stderr: "" }]);
  }
}, 120_000);

test("A hostile directory and hostile variables change nothing, also at the workers", async () => {
  await using scratch = await Scratch.open();
  const place = prepare(scratch, WITNESS);
  const write = (name: string, text: string) => writeFileSync(`${place.directory}/${name}`, text);
  write("library.ts", "export const variables = () => JSON.stringify(process.env);\n");
  write(".env", "HOSTILE=yes\nTENDRIL_HOME=/nowhere\nTENDRIL_BIN=/bin/false\nBUN_OPTIONS=--help\n");
  write(".env.local", "HOSTILE=yes\n");
  write("bunfig.toml", 'preload = ["./evil.ts"]\n[run]\nbun = true\n');
  write("evil.ts", 'process.env["HOSTILE"] = "yes"; console.log("HOSTILE");\n');
  const command = ["./tendril", "run", "--quiet", "workflow.ts"];
  const wanted = { status: 0, stdout: "false false false false\n", stderr: "" };
  expect(await run(place, command)).toEqual(wanted);
  expect((await run(place, ["./tendril", "init", "made"])).status).toBe(0);
  for (const name of ["tendril.mjs", "tendril.d.ts", "deno.json", "tsconfig.json"]) {
    copyFileSync(`${place.directory}/made/${name}`, `${place.directory}/${name}`);
  }
  // Deno takes nothing from the directory; its workers are the binary beside the library.
  expect(await run(place, ["deno", "run", "-A", "workflow.ts"])).toEqual(wanted);
  // Bun itself reads both files for the manager: that is the user's own doing, the tasks' is not.
  const variables = { ...place.env, BUN_OPTIONS: "--no-env-file", BUN_CONFIG_HOSTILE: "HOSTILE" };
  const onBun = await run({ ...place, env: variables }, [
    "bun",
    "--config=/dev/null",
    "workflow.ts",
  ]);
  expect(onBun).toEqual(wanted);
}, 120_000);
