import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import process from "node:process";

import { Scratch } from "../integration/scratch.ts";
import { BINARY } from "./built.ts";

/** Libraries of each kind, one of which takes what others have made. */
const WORKFLOW = `
import { Manager } from "tendril";
await using manager = await Manager.start({ workers: 1 });
const script = manager.library({ name: "script", module: "./twice.ts", context: "setup" });
const direct = manager.library({ name: "direct", python: "model.py", context: "load" });
const forked = manager.library({ name: "forked", python: "model.py", context: "load", mode: "fork" });
const shell = manager.library({ name: "shell", command: "sh server.sh", inputs: {
  "server.sh": manager.file("server.sh"),
} });
const text = manager.temp();
manager.submit({ command: "echo 5 > text", outputs: { text } });
const five = direct.call("read", text);
console.log(JSON.stringify([
  await script.call("twice", five).value(),
  await forked.call("scaled", five).value(),
  await shell.call("anything").value(),
  await forked.map("scaled", [1, 2, 3, 4, 5], { chunk: 2 }),
  await script.call("fail").value().catch((error) => error.message),
  await direct.call("fail").value().catch((error) => error.message),
]));
`;

const MODEL = `
import tendril

def load():
    return {"scale": 10}

def scaled(n):
    return n * tendril.context["scale"]

def read(path):
    with open(path) as file:
        return int(file.read())

def fail():
    raise ValueError("no luck")
`;

const MODULE = `
import { libraryContext } from "tendril";
export const setup = (): { factor: number } => ({ factor: 2 });
export const twice = (n: number): number => n * libraryContext<typeof setup>().factor;
export function fail(): never { throw new RangeError("bad luck"); }
`;

/** Answers all calls with the number 7. */
const SERVER = `
echo ready >&4
while read -r word id name size paths <&3; do
  head -c "$((size + paths))" <&3 >/dev/null
  printf 'result %s ok 1\\n\\007' "$id" >&4
done
`;

test.each([
  ["tendril run", [BINARY, "run", "--quiet", "workflow.ts"]],
  ["Bun", ["bun", "workflow.ts"]],
  ["Deno", ["deno", "run", "-A", "workflow.ts"]],
])("Libraries of each kind serve a workflow of %s", async (_, [command = "", ...args]) => {
  await using scratch = await Scratch.open();
  const temporary = scratch.path("temporary");
  await mkdir(temporary);
  const files = {
    "workflow.ts": WORKFLOW,
    "model.py": MODEL,
    "twice.ts": MODULE,
    "server.sh": SERVER,
  };
  spawnSync(BINARY, ["init", scratch.folder], { stdio: "pipe" });
  for (const [name, text] of Object.entries(files)) await writeFile(scratch.path(name), text);
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: scratch.folder,
    encoding: "utf8",
    env: { ...process.env, TMPDIR: temporary, TENDRIL_BIN: BINARY },
  });
  expect([status, stderr]).toEqual([0, ""]);
  expect(JSON.parse(stdout)).toEqual([
    10,
    50,
    7,
    [10, 20, 30, 40, 50],
    "RangeError: bad luck",
    "ValueError: no luck",
  ]);
  expect(readdirSync(temporary)).toEqual([]);
}, 120_000);
