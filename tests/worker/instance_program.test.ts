import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";

import { join } from "@std/path";

import type { CacheName } from "../../shared/ids.ts";
import type { LibraryMode, LibraryProgram } from "../../shared/library.ts";
import { decodeValue, encodeArguments } from "../../shared/value.ts";
import { FileArgument, InstanceBench, PLAIN } from "./instance_bench.ts";

const PYTHON: LibraryProgram = {
  kind: "python",
  module: "module" as CacheName,
  moduleName: "model",
};

const MODEL = `
import os
import tendril

loads = 0

def setup(scale, path):
    global loads
    loads += 1
    return {"scale": scale, "text": open(path).read(), "here": open("data/words").read()}

def count():
    global loads
    loads += 1
    return [loads, os.environ["TENDRIL_SLOTS"]]

def scaled(x):
    return [x * tendril.context["scale"], tendril.context["text"], tendril.context["here"]]
`;

/** A context function with a number and a file for arguments, and an input. */
function contextOf(bench: InstanceBench) {
  bench.add("words", "from an input");
  bench.add("text", "from an argument");
  return {
    context: "setup",
    contextArguments: encodeArguments([3, new FileArgument()], PLAIN).bytes,
    inputs: [
      { mount: "", name: "text" as CacheName, generation: 0 },
      { mount: "data/words", name: "words" as CacheName, generation: 0 },
    ],
  };
}

const MODES: readonly (readonly [LibraryMode, readonly unknown[]])[] = [
  ["direct", [[2, "1"], [3, "1"]]],
  // A forked call changes its own copy of what the context function left.
  ["fork", [[2, "2"], [2, "2"]]],
];

for (const [mode, counts] of MODES) {
  test(`Instances serve Python (${mode}), with inputs and arguments of its context`, async () => {
    await using bench = new InstanceBench();
    const slots = mode === "fork" ? 2 : 1;
    const library = { program: PYTHON, mode, slots, ...contextOf(bench) };
    expect(await bench.start(MODEL, library)).toMatchObject({ kind: "instance_ready" });
    const scaled = await bench.call("scaled", [14]);
    expect(decodeValue(scaled.value!)).toEqual([42, "from an argument", "from an input"]);
    const first = await bench.call("count", []);
    const second = await bench.call("count", []);
    expect([first, second].map(({ value }) => decodeValue(value!))).toEqual([...counts]);
  });
}

test("Instances give the context function of JavaScript its arguments and inputs", async () => {
  await using bench = new InstanceBench();
  const source = `
    import { readFileSync } from "node:fs";
    import { libraryContext } from "tendril";
    export function setup(scale, path) {
      return [scale, readFileSync(path, "utf8"), readFileSync("data/words", "utf8")];
    }
    export const context = () => libraryContext();
  `;
  expect(await bench.start(source, contextOf(bench))).toMatchObject({ kind: "instance_ready" });
  const { value } = await bench.call("context", []);
  expect(decodeValue(value!)).toEqual([3, "from an argument", "from an input"]);
});

test("Instances serve a package of Python, and leave its files as they are", async () => {
  await using bench = new InstanceBench();
  bench.addTree("package", {
    "__init__.py": "from .parts import answer\n",
    "parts.py": "def answer():\n    return __name__\n",
  });
  const program = { ...PYTHON, module: "package" as CacheName, moduleName: "model" };
  expect(await bench.start("", { program })).toMatchObject({ kind: "instance_ready" });
  const { value } = await bench.call("answer", []);
  expect(decodeValue(value!)).toBe("model.parts");
  bench.instances.stop({ kind: "stop_instance", instanceId: 1 as never });
  const gone = await bench.next(({ kind }) => kind === "instance_gone" || kind === "file_verified");
  expect(gone.kind).toBe("instance_gone");
  expect(readdirSync(bench.cache.get("package" as CacheName)!.path).toSorted())
    .toEqual(["__init__.py", "parts.py"]);
});

test("Instances serve a command, in a process for each slot", async () => {
  await using bench = new InstanceBench();
  const command = `
    echo ready >&4
    while read -r word id name size paths <&3; do
      head -c "$((size + paths))" <&3 >/dev/null
      printf "result %s ok 1\\n\\\\00$TENDRIL_SLOTS" "$id" >&4
    done
  `;
  expect(await bench.start("", { program: { kind: "command", command }, slots: 2 }))
    .toMatchObject({ kind: "instance_ready" });
  expect(readdirSync(join(bench.directory, "instances", "1")).toSorted())
    .toEqual(["slot-0", "slot-1"]);
  const { value } = await bench.call("any", []);
  expect([...value!]).toEqual([1]);
});

test("Instances tell that there is no Python where their environment looks for it", async () => {
  await using bench = new InstanceBench();
  const env = { PATH: `${bench.directory}:relative` };
  expect(await bench.start(MODEL, { program: PYTHON, env })).toMatchObject({
    kind: "instance_gone",
    reason: "start_failed",
    message: `Cannot start library "lib": no python3 in PATH ${env.PATH}`,
  });
});

test("Instances tell which of their inputs was changed while they lived", async () => {
  await using bench = new InstanceBench();
  // One of that size is the cache's own file, and not a copy.
  bench.add("large", "x".repeat(2 ** 17));
  const source = `
    import { chmodSync, writeFileSync } from "node:fs";
    export function spoil() { chmodSync("large", 0o644); writeFileSync("large", "spoilt"); }
  `;
  const inputs = [{ mount: "large", name: "large" as CacheName, generation: 0, isSymlink: true }];
  await bench.start(source, { inputs });
  expect((await bench.call("spoil", [])).outcome).toBe("success");
  bench.instances.stop({ kind: "stop_instance", instanceId: 1 as never });
  expect(await bench.next(({ kind }) => kind === "file_verified")).toEqual({
    kind: "file_verified",
    name: "large" as CacheName,
    generation: 0,
    isIntact: false,
  });
});
