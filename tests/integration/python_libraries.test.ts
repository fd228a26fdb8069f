/** Libraries in Python as scripts declare them, from managers on both runtimes. */

import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import process from "node:process";

import { Manager, Pickle, TaskError } from "../../mod.ts";
import { BINARY, ROOT } from "../binary/built.ts";
import { Scratch } from "./scratch.ts";

const MODEL = `import tendril

def load(path, scale):
    with open(path) as file:
        return {"words": file.read().split(), "scale": scale, "path": path}

def count(more=0):
    return len(tendril.context["words"]) * tendril.context["scale"] + more

def absolute():
    return tendril.context["path"].startswith("/")

def table():
    with open("data/table.txt") as file:
        return file.read()

class Model:
    def __init__(self, rate):
        self.rate = rate

def train(rate):
    return {"model": Model(rate), "rate": rate}

def score(model, n):
    return model.rate * n

def turned(values):
    return type(values)(values.typecode, reversed(values)) if hasattr(values, "typecode") \\
        else values[::-1].copy()

def half(n):
    if n == 5:
        raise ValueError("no %d" % n)
    return n / 2
`;

interface Model {
  count(more?: number): number;
  absolute(): boolean;
  table(): string;
  train(rate: number): { readonly model: Pickle; readonly rate: number };
  score(model: Pickle, n: number): number;
  turned<T>(values: T): T;
  half(n: number): number;
}

for (const mode of ["direct", "fork"] as const) {
  test(`Manager.library() runs a Python file with its context and files, ${mode}`, async () => {
    await using scratch = await Scratch.open();
    await writeFile(scratch.path("model.py"), MODEL);
    await using manager = await Manager.start({ workers: { count: 1, cores: 1 } });
    const model = manager.library<Model>({
      name: "model",
      python: scratch.path("model.py"),
      context: "load",
      contextArguments: [manager.buffer("oak elm ash"), 10],
      inputs: { "data/table.txt": manager.buffer("a table") },
      pickle: true,
      mode,
      slots: 2,
    });
    expect(await model.call("count").value()).toBe(30);
    expect(await model.call("count", model.call("count", 1)).value()).toBe(61);
    expect(await model.call("absolute").value()).toBe(true);
    expect(await model.call("table").value()).toBe("a table");
    const trained = await model.call("train", 3).value();
    expect([trained.model instanceof Pickle, trained.rate]).toEqual([true, 3]);
    expect(await model.call("score", trained.model, 7).value()).toBe(21);
    const values = Float64Array.of(1, 2.5, -3);
    expect(await model.call("turned", values).value()).toStrictEqual(Float64Array.of(-3, 2.5, 1));
    const items = Array.from({ length: 8 }, (_, index) => index);
    const halves = await model.map("half", items, { chunk: 3, failures: "collect" });
    expect(halves.map((one) => one as unknown instanceof TaskError ? "failed" : one)).toEqual(
      [0, 0.5, 1, 1.5, 2, "failed", 3, 3.5],
    );
    await expect(model.map("half", items, { chunk: 4 })).rejects.toThrow(
      "Cannot have the result of item 5: ValueError: no 5",
    );
  }, 120_000);
}

test("Manager.library() runs Python from packages and text, on Bun and from Deno", async () => {
  await using scratch = await Scratch.open();
  await mkdir(scratch.path("shapes/parts"), { recursive: true });
  const files = {
    "shapes/__init__.py": "from .parts.area import area\n",
    "shapes/parts/__init__.py": "",
    "shapes/parts/area.py": "def area(width, height):\n    return width * height\n",
    "workflow.ts": `import { Manager } from ${JSON.stringify(`${ROOT}/mod.ts`)};
await using manager = await Manager.start({ workers: { count: 1, cores: 1 } });
const shapes = manager.library({ name: "shapes", python: "shapes" });
const text = manager.library({ name: "my text", python: "def name():\\n    return __name__\\n" });
const area = await shapes.call("area", 6, 7).value();
console.log(JSON.stringify([area, await text.call("name").value()]));
`,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(scratch.path(name), text);
  const env = { ...process.env, TENDRIL_BIN: BINARY };
  const options = { cwd: scratch.folder, env, encoding: "utf8" } as const;
  const script = scratch.path("workflow.ts");
  const deno = ["run", "-A", "--no-check", "--config", `${ROOT}/deno.json`, script];
  const runs: [string, string[]][] = [["bun", [script]], ["deno", deno]];
  for (const [program, args] of runs) {
    const { stdout, stderr } = spawnSync(program, args, options);
    expect([stdout, stderr]).toEqual(['[42,"my_text"]\n', ""]);
  }
}, 120_000);
