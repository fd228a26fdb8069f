import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

import { describeDirectory, directoryName } from "../../manager/directory.ts";
import { bindBytes } from "../../manager/file_binding.ts";
import type { LibraryOptions } from "../../manager/library_option.ts";
import { Manager } from "../../manager/manager.ts";
import { functionsModule } from "../../shared/function_source.ts";
import { decodeArguments } from "../../shared/value.ts";
import { FakeWorker } from "./fake_worker.ts";

const CODE = "def twice(n):\n    return 2 * n\n";

let folder = "";

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "tendril-test-")));
  process.env["TENDRIL_HOME"] = join(folder, "home");
  const files = {
    "model.py": CODE,
    "my-model.py": CODE,
    "lambda.py": CODE,
    "tendril.py": CODE,
    "notes.txt": CODE,
    "shapes/__init__.py": "from .area import area\n",
    "shapes/area.py": "def area(a, b):\n    return a * b\n",
    "shapes/__pycache__/area.cpython-311.pyc": "one",
    "shapes/deep/__pycache__/x.pyc": "two",
    "shapes/deep/data.txt": "data",
    "clean/shapes/__init__.py": "from .area import area\n",
    "clean/shapes/area.py": "def area(a, b):\n    return a * b\n",
    "clean/shapes/deep/data.txt": "data",
    "plain/area.py": CODE,
  };
  for (const [name, contents] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), contents);
  }
});

afterAll(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(folder, { recursive: true, force: true });
});

async function declared(
  options: Omit<LibraryOptions, "name">,
  fileCount: number,
): ReturnType<FakeWorker["startInstance"]> {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name);
  manager.library({ name: "my-model 2", ...options }).call("twice", 2);
  return await worker.startInstance(fileCount);
}

test("Manager.library() ships a Python file as its bytes, under its own name", async () => {
  const { fetched, library } = await declared({ python: join(folder, "model.py") }, 1);
  const { name } = bindBytes(new TextEncoder().encode(CODE));
  expect(fetched.map((fetch) => fetch.name)).toEqual([name]);
  expect(library.program).toEqual({ kind: "python", module: name, moduleName: "model" });
  expect([library.mode, library.slots, library.context]).toEqual(["direct", 1, ""]);
});

test("Manager.library() ships functions as their source, once for all that have it", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name, { cores: 4 });
  const functions = { twice: (n: number) => 2 * n, half: (n: number) => n / 2 };
  manager.library({ name: "a", functions, cores: 1, context: "half" }).call("twice", 1);
  const first = await worker.startInstance(1);
  const { name } = bindBytes(new TextEncoder().encode(functionsModule(functions)));
  expect(first.library.program).toEqual({ kind: "javascript", module: name });
  expect(first.library.context).toBe("half");
  const { twice, half } = functions;
  manager.library({ name: "b", functions: { half, twice }, cores: 1 }).call("half", 1);
  expect((await worker.startInstance(0)).library.program).toEqual(first.library.program);
});

test("Manager.library() finds Python beside what it is given, and beside the script", async () => {
  const url = pathToFileURL(join(folder, "main.ts")).href;
  const { library } = await declared({ python: "./model.py", from: url, pickle: true }, 1);
  expect(library.program).toMatchObject({ moduleName: "model", isPickling: true });
  const script = process.argv[1];
  try {
    process.argv[1] = join(folder, "main.ts");
    expect((await declared({ python: "model.py" }, 1)).library.program).toMatchObject({
      moduleName: "model",
    });
  } finally {
    process.argv[1] = script!;
  }
});

test("Manager.library() ships a Python package without what Python makes of it", async () => {
  const { fetched, library } = await declared({ python: new URL(`file://${folder}/shapes`) }, 1);
  const facts = await describeDirectory(join(folder, "clean/shapes"), { isHashed: true });
  const name = directoryName(facts);
  expect(fetched).toMatchObject([{ name, isDirectory: true }]);
  expect(library.program).toEqual({ kind: "python", module: name, moduleName: "shapes" });
});

test("Manager.library() does not send a package again that a worker has", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name, { cores: 4 });
  manager.library({ name: "a", python: join(folder, "shapes"), cores: 1 }).call("area");
  const first = await worker.startInstance(1);
  manager.library({ name: "b", python: join(folder, "clean/shapes"), cores: 1 }).call("area");
  const second = await worker.startInstance(0);
  expect(second.library.program).toEqual(first.library.program);
});

test("Library.call() gives a worker few megabytes of arguments in one message", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name, { cores: 4 });
  const library = manager.library({ name: "a", python: join(folder, "model.py"), slots: 4 });
  const bytes = new Uint8Array(500_000);
  for (let index = 0; index < 3; index++) library.call("twice", bytes);
  library.call("twice", 2);
  await worker.startInstance(1);
  const counts: number[] = [];
  while (counts.length < 2) counts.push((await worker.next("dispatch")).tasks.length);
  expect(counts).toEqual([2, 2]);
});

test("Manager.library() says why a package that goes away cannot be shipped", async () => {
  await using manager = await Manager.start();
  const path = join(folder, "short");
  await mkdir(path);
  await writeFile(join(path, "__init__.py"), "");
  const call = manager.library({ name: "short", python: path }).call("x");
  await rm(path, { recursive: true });
  const { outcome, message } = await call;
  expect(outcome).toBe("library_failed");
  expect(message).toContain(`Cannot import "${path}" as a Python package: no such file`);
});

test("Manager.library() ships source text, imported by a name made of the library's", async () => {
  const { library, fetched } = await declared({ python: CODE, mode: "fork", slots: 4 }, 1);
  const { name } = bindBytes(new TextEncoder().encode(CODE));
  expect(fetched[0]?.name).toBe(name);
  expect(library.program).toEqual({ kind: "python", module: name, moduleName: "my_model_2" });
  expect([library.mode, library.slots]).toEqual(["fork", 4]);
});

test("Manager.library() makes names that Python takes of those that it would not", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name, { cores: 8 });
  const names: string[] = [];
  for (const name of ["lambda", "2x", "tendril", "é/ü", "__main__"]) {
    manager.library({ name, python: CODE, cores: 1 }).call("twice");
    const { library } = await worker.startInstance(names.length === 0 ? 1 : 0);
    if (library.program.kind === "python") names.push(library.program.moduleName);
  }
  expect(names).toEqual(["lambda_", "_2x", "tendril_", "é_ü", "__main___"]);
});

test("Manager.library() gives a command its mode, slots, inputs and no files", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name);
  const inputs = { server: manager.buffer("#!/bin/sh\n") };
  const options = { mode: "fork", slots: 3, env: { A: "b" }, inputs } as const;
  manager.library({ name: "any", command: "./server", ...options }).call("x");
  const { fetched, library } = await worker.startInstance(1);
  expect(library.program).toEqual({ kind: "command", command: "./server" });
  expect(library.inputs).toEqual([{ mount: "server", name: fetched[0]!.name, generation: 0 }]);
  expect(library).toMatchObject({ mode: "fork", slots: 3, env: { A: "b" } });
});

test("Manager.library() gives the context function values and files", async () => {
  await using manager = await Manager.start();
  const worker = await FakeWorker.join(manager.name);
  const [weights, table] = [manager.buffer("weights"), manager.buffer("table")];
  const contextArguments = [{ weights }, 7, [table, weights]];
  const library = manager.library({
    name: "model",
    python: CODE,
    context: "load",
    contextArguments,
    inputs: { "data/table": table },
  });
  library.call("twice", 1);
  const started = await worker.startInstance(3);
  const { inputs, contextArguments: bytes, context } = started.library;
  expect(context).toBe("load");
  expect(inputs.map(({ mount }) => mount)).toEqual(["", "", "data/table"]);
  expect(inputs[1]?.name).toBe(inputs[2]?.name);
  const read = decodeArguments(bytes, {
    fileAt: (index) => inputs[index]!.name,
    readFile: () => new Uint8Array(),
  });
  const [weightsName, tableName] = inputs.map(({ name }) => name);
  expect(read).toEqual([{ weights: weightsName }, 7, [tableName, weightsName]]);
});

test("Manager.library() refuses code that it cannot find, or Python cannot import", async () => {
  await using manager = await Manager.start();
  const declare = (python: string, more: Partial<LibraryOptions> = {}) => () =>
    manager.library({ name: "x", python, from: folder, ...more });
  expect(declare("absent.py")).toThrow(
    `Cannot find library module "absent.py": no such file as ${join(folder, "absent.py")}`,
  );
  expect(declare("https://example.org/a.py")).toThrow("not a url of a file");
  expect(declare("plain")).toThrow(/plain" as a Python package: it has no __init__\.py$/);
  expect(declare("notes.txt")).toThrow(/expected a file whose name ends in \.py, or a directory/);
  expect(declare("my-model.py")).toThrow(
    `Cannot import "${join(folder, "my-model.py")}" as a Python module: "my-model" is not a name`,
  );
  expect(declare("lambda.py")).toThrow('"lambda" is a keyword of Python');
  expect(declare("tendril.py")).toThrow('"tendril" is the name of another module there');
  expect(declare(`${"#".repeat(64 * 1024 * 1024)}\n`)).toThrow("more than 67108864 bytes");
  expect(() => manager.library({ name: "x", python: CODE })).not.toThrow();
});

test("Manager.library() refuses inputs with the names of what its processes write", async () => {
  await using manager = await Manager.start();
  const declare = (mount: string, name = "x") => () =>
    manager.library({ name, python: CODE, inputs: { [mount]: manager.buffer("") } });
  for (const mount of ["stdout", "stderr", "stdout-0", "stderr-12", "value-1", "stdout/part"]) {
    expect(declare(mount)).toThrow(
      `Cannot mount "${mount}" as an input of library "x": a process keeps what its calls print`,
    );
  }
  for (const mount of ["stdout.txt", "stdout-", "value", "data/stdout"]) {
    expect(declare(mount, `with ${mount}`)).not.toThrow();
  }
});

test("Manager.library() refuses options that do not go together", async () => {
  await using manager = await Manager.start();
  const declare = (options: object) => () =>
    manager.library({ name: "x", ...options } as LibraryOptions);
  expect(declare({})).toThrow("with 0 of functions, module, python and command: expected exactly");
  expect(declare({ python: CODE, command: "a" })).toThrow("with 2 of functions, module, python");
  const functions = { one: () => 1 };
  expect(declare({ functions, module: "a.ts" })).toThrow("with 2 of functions, module, python");
  expect(declare({ functions, context: "two" })).toThrow(
    'Cannot take context of library "x" "two" as one of its functions: there are one',
  );
  expect(declare({ functions, mode: "fork" })).toThrow("cannot be forked");
  expect(declare({ functions, from: "/tmp" })).toThrow("its functions are given by value");
  expect(declare({ functions, pickle: true })).toThrow("it is not in Python");
  expect(declare({ functions: {} })).toThrow('library "x" with functions: there is none');
  expect(declare({ functions: [() => 1] })).toThrow("expected { name: value }");
  expect(declare({ functions: { one: 1 } })).toThrow('Cannot send "one: 1" to a worker');
  expect(declare({ module: "a.ts", values: {} })).toThrow("it has no functions by value");
  expect(declare({ python: CODE, name: undefined })).toThrow("without a name");
  expect(declare({ command: "a", context: "setup" })).toThrow(
    'Cannot take context of library "x": it is a command',
  );
  expect(declare({ command: "a", from: "/tmp" })).toThrow("Cannot take from of library");
  expect(declare({ command: "a", pickle: true })).toThrow('pickle of library "x": it is not in');
  expect(declare({ module: "a.py" })).toThrow(
    'Cannot take "a.py" as the module of library "x": it is in Python; expected { python: … }',
  );
  expect(declare({ module: "a.ts", pickle: true })).toThrow("it is not in Python");
  expect(declare({ module: "a.ts", mode: "fork" })).toThrow("cannot be forked");
  expect(declare({ python: CODE, mode: "spoon" })).toThrow('"spoon" as "direct" or "fork"');
  expect(declare({ python: CODE, contextArguments: [1] })).toThrow("it names no context function");
  expect(declare({ python: CODE, instances: -1 })).toThrow("instances of library");
  expect(declare({ python: CODE, slots: 0 })).toThrow("slots of library");
  expect(declare({ python: CODE, inputs: { "../x": manager.buffer("") } })).toThrow("as a mount");
  expect(declare({ python: CODE, inputs: { x: manager.temp() } })).toThrow("no task makes the");
  const context = { python: CODE, context: "load" };
  expect(declare({ ...context, contextArguments: { a: 1 } })).toThrow("expected an array");
  expect(declare({ ...context, contextArguments: [manager.submit({ command: "a" })] })).toThrow(
    /^Cannot pass task 1 as a context argument of library "x": await its value\(\)/,
  );
  expect(declare({ ...context, contextArguments: [new Uint8Array(1024 * 1024)] })).toThrow(
    /at most 1048576; pass the rest as a file$/,
  );
  expect(declare({ ...context, contextArguments: [() => 1] })).toThrow(
    'Cannot send "arguments[0]" as a value: a function',
  );
});

test("Library.call() refuses what is no name of a function", async () => {
  await using manager = await Manager.start();
  const library = manager.library({ name: "x", python: CODE });
  const call = (name: unknown) => () => library.call(name as string, 1);
  expect(call(undefined)).toThrow(
    'Cannot take "undefined" as the name of a function: expected text',
  );
  expect(call(() => 1)).toThrow("as the name of a function: expected text");
  expect(call("*two")).toThrow('Cannot call "*two" as a function: a name does not begin with "*"');
  expect(call("")).toThrow(
    'Cannot take "" as the name of a function: expected 1 to 256 characters',
  );
});
