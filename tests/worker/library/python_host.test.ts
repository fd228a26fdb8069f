import { expect, test } from "bun:test";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { decodeValue, encodeValue } from "../../../shared/value.ts";
import { STREAM_KEPT_BYTES } from "../../../shared/protocol.ts";
import { CALLS_AHEAD_MAX, encodeSync } from "../../../worker/library/call_protocol.ts";
import { until } from "../../until.ts";
import { PythonHost, textOf, thrownOf, valueOf } from "./python_host.ts";

test("the Python host runs calls in order and says how long each ran", async () => {
  await using host = await PythonHost.start(`
calls = []
def note(value):
    calls.append(value)
    return list(calls)
class Maker:
    kept = 1
    def __new__(cls, value): return {"made": value}
    @staticmethod
    def double(value): return value * 2
`);
  const ids = [host.send("note", [1]), host.send("note", [2]), host.send("Maker", [3])];
  const results = [await host.result(), await host.result(), await host.result()];
  expect(results.map((result) => result.callId)).toEqual(ids);
  expect(results.map(valueOf)).toEqual([[1], [1, 2], { made: 3 }]);
  expect(results[0]?.microseconds).toBeGreaterThanOrEqual(0);
  expect(await host.value("Maker.double", "ab")).toBe("abab");
  host.close();
  expect(await host.ended()).toBe("exit code 0");
});

test("the Python host says at its start how many calls may wait", async () => {
  await using host = new PythonHost({ source: "" });
  expect(await host.next()).toEqual({ kind: "ready", callsAhead: CALLS_AHEAD_MAX, isOnce: false });
});

test("the Python host names the functions there are when it is asked for another", async () => {
  await using host = await PythonHost.start(`
import os
from json import dumps
limit = 7
def one(): pass
class Two: pass
def _three(): pass
`);
  for (const name of ["four", "limit", "_three", "__import__", "one.__call__", "os.absent"]) {
    const { name: kind, message } = await host.thrown(name);
    const found = "it has Two, one";
    expect(message).toBe(`Cannot call "${name}" as a function of the library: ${found}`);
    expect(kind).toBe("TypeError");
  }
  expect(await host.value("dumps", [1])).toBe("[1]");
});

test("the Python host tells what a function raised, with its own frames alone", async () => {
  await using host = await PythonHost.start(`
import asyncio, json, sys
class Mine(Exception): pass
class Silent(Exception):
    def __str__(self): raise ValueError("no text")
def fail(): raise Mine("too far \\u00e9")
def parse(): return json.loads("{")
def chain():
    try: fail()
    except Mine as error: raise KeyError("k") from error
async def later():
    await asyncio.sleep(0)
    fail()
def leave(): sys.exit(3)
def interrupt(): raise KeyboardInterrupt()
def silent(): raise Silent()
def recurse(): return recurse()
def exhaust(): return bytearray(1 << 62)
def long(): raise ValueError("x" * 100000)
def surrogate(): raise ValueError("\\ud800")
def arguments(a, b): pass
`);
  const fail = await host.thrown("fail");
  expect([fail.name, fail.message]).toEqual(["Mine", "too far é"]);
  expect(fail.stack).toMatch(
    /^Traceback \(most recent call last\):\n {2}File ".*lib\.py", line 6, in fail\n[^]*\nlib\.Mine: too/,
  );
  expect(await host.thrown("parse")).toMatchObject({ name: "json.decoder.JSONDecodeError" });
  const chain = await host.thrown("chain");
  expect([chain.name, chain.message]).toEqual(["KeyError", "'k'"]);
  expect(chain.stack).toContain("The above exception was the direct cause");
  const later = await host.thrown("later");
  expect(later.stack.match(/File "/g)).toHaveLength(2);
  expect(await host.thrown("leave")).toMatchObject({ name: "SystemExit", message: "3" });
  expect(await host.thrown("interrupt")).toMatchObject({ name: "KeyboardInterrupt", message: "" });
  expect((await host.thrown("silent")).message).toBe("a text that cannot be made");
  const recurse = await host.thrown("recurse");
  expect(recurse.name).toBe("RecursionError");
  expect(recurse.stack).toContain("more times]");
  expect((await host.thrown("exhaust")).name).toBe("MemoryError");
  const long = await host.thrown("long");
  expect(long.message).toHaveLength(16 * 1024 + 1);
  expect(long.stack.length).toBeLessThanOrEqual(16 * 1024);
  expect((await host.thrown("surrogate")).message).toBe("\ud800");
  const args = await host.thrown("arguments", 1);
  expect(args.message).toBe("arguments() missing 1 required positional argument: 'b'");
  for (const { stack } of [fail, chain, later, recurse, args]) {
    expect(stack).not.toContain("library/python/");
  }
});

test("the Python host runs asynchronous functions to their end, on one loop", async () => {
  await using host = await PythonHost.start({
    source: `
import asyncio, tendril
async def setup(start):
    await asyncio.sleep(0)
    return {"loop": asyncio.get_running_loop(), "start": start}
async def later(value):
    await asyncio.sleep(0)
    return [value, asyncio.get_running_loop() is tendril.context["loop"], tendril.context["start"]]
class Awaitable:
    def __await__(self):
        yield
        return 5
def awaitable(): return Awaitable()
async def generate(): yield 1
`,
    context: "setup",
    contextArguments: [[7]],
  });
  expect(await host.value("later", "a")).toEqual(["a", true, [7]]);
  expect(await host.value("awaitable")).toBe(5);
  expect((await host.thrown("generate")).message).toContain("a generator, which can be sent as");
});

test("the Python host runs the context function once and gives its value to functions", async () => {
  await using host = await PythonHost.start({
    source: `
import tendril
runs = 0
def setup():
    global runs
    runs += 1
    return {"weights": [1, 2]}
def sum_up():
    tendril.context["weights"].append(3)
    return [runs, len(tendril.context["weights"])]
`,
    context: "setup",
  });
  expect(await host.value("sum_up")).toEqual([1, 3]);
  expect(await host.value("sum_up")).toEqual([1, 4]);
  await using bare = await PythonHost.start("import tendril\ndef get(): return tendril.context");
  expect(await bare.thrown("get")).toMatchObject({
    name: "AttributeError",
    message: "Cannot read the library context: no context function has run; " +
      'the library states one as context: "NAME"',
  });
});

test("the Python host says why a library cannot start, and prints what it printed", async () => {
  const failures: readonly (readonly [string, string | undefined, RegExp])[] = [
    [
      "print('loading')\nimport absent_module",
      undefined,
      /^Traceback[^]*lib\.py", line 2[^]*absent/,
    ],
    ["def f(:", undefined, /^ {2}File ".*lib\.py", line 1\n[^]*SyntaxError/],
    ["def setup(): raise OSError('no model')", "setup", /line 1, in setup\n[^]*OSError: no model$/],
    ["def f(): pass", "setup", /^TypeError: Cannot call "setup" as a function .*: it has f$/],
    ["import sys; sys.exit('enough')", undefined, /SystemExit: enough$/],
  ];
  for (const [source, context, text] of failures) {
    await using host = new PythonHost({ source, ...context === undefined ? {} : { context } });
    const message = await host.next();
    expect(message).toMatchObject({ kind: "failed", text: expect.stringMatching(text) });
    expect(JSON.stringify(message)).not.toContain("library/python/");
    expect(await host.ended()).toBe("exit code 1");
    expect(host.log).toBe(source.startsWith("print") ? "loading\n" : "");
  }
});

test("the Python host leaves a library modules with the names of the host's own", async () => {
  for (const name of ["lib", "start"]) {
    await using host = await PythonHost.start({
      name,
      source: {
        "__init__.py": "import fork, value_reader\ndef where(): return [fork.x, value_reader.x]",
        "../fork.py": "x = 'a fork'",
        "../value_reader.py": "x = 'a reader'",
      },
    });
    expect(await host.value("where")).toEqual(["a fork", "a reader"]);
  }
  for (const absent of ["host", "call_protocol"]) {
    await using host = await PythonHost.start(`def load(): import ${absent}`);
    expect((await host.thrown("load")).name).toBe("ModuleNotFoundError");
  }
});

test("the Python host refuses a library with the name of another module", async () => {
  for (const name of ["types", "tendril", "time"]) {
    await using host = new PythonHost({ source: "def f(): pass", name });
    expect(await host.next()).toMatchObject({
      text: expect.stringContaining(
        `ImportError: Cannot import library "${name}": Python has another module of that name`,
      ),
    });
  }
});

test("the Python host refuses an old Python in one line", async () => {
  // What `sys` says is changed before the host runs; its syntax is that of Python 3.0 on.
  const flags = ["-c", "import sys; sys.version_info = (3, 6, 9); exec(open(sys.argv[1]).read())"];
  await using host = new PythonHost({ source: "", flags });
  expect(await host.next()).toEqual({
    kind: "failed",
    text: "Cannot serve a Python library with Python 3.6.9: it needs 3.8 or later",
  });
  expect(await host.ended()).toBe("exit code 1");
});

test("the Python host imports a package, and writes nothing into it", async () => {
  await using host = await PythonHost.start({
    source: {
      "__init__.py": "from .parts import twice\nfrom . import parts\n",
      "parts.py":
        "def twice(x): return later(x)\ndef later(x):\n  from . import lazy\n  return lazy.f(x)",
      "lazy.py": "def f(x): return (x, x)",
    },
  });
  expect(await host.value("twice", 1)).toEqual([1, 1]);
  expect(await host.value("parts.twice", 2)).toEqual([2, 2]);
  expect((await host.thrown("absent")).message).toEndWith("it has twice");
  expect(readdirSync(join(host.directory, "library/lib")).sort()).toEqual([
    "__init__.py",
    "lazy.py",
    "parts.py",
  ]);
});

test("the Python host gives a library the process for its own", async () => {
  await using host = await PythonHost.start(`
import os, sys
def look():
    names = sorted(name for name in sys.modules["__main__"].__dict__ if not name.startswith("__"))
    return [sys.argv[1:], names, sys.path[0] == os.path.dirname(__file__), "library" in sys.path[1]]
def descriptors(code):
    import subprocess
    command = [sys.executable, "-c", code]
    return subprocess.run(command, close_fds=False, stdout=subprocess.PIPE, text=True).stdout
def fork_descriptors():
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, repr([fd for fd in (3, 4) if is_open(fd)]).encode())
        os._exit(0)
    os.close(write)
    os.wait()
    return os.read(read, 100).decode()
def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
def return_twice(): return os.fork() == 0
`);
  expect(await host.value("look")).toEqual([[], [], true, false]);
  const code = `
import os
def target(fd):
    try: return os.readlink("/proc/self/fd/%d" % fd)
    except OSError: return ""
print([fd for fd in range(3, 64) if "pipe" in target(fd) or "socket" in target(fd)])`;
  expect(await host.value("descriptors", code)).toBe("[]\n");
  expect(await host.value("fork_descriptors")).toBe("[]");
  // Both processes come back from it; one answers.
  expect(await host.value("return_twice")).toBe(false);
  expect(await host.value("fork_descriptors")).toBe("[]");
});

test("the Python host lets functions use multiprocessing", async () => {
  await using host = await PythonHost.start(`
import multiprocessing
def square(x): return x * x
def squares(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(square, range(4))
`);
  expect(await host.value("squares", "fork")).toEqual([0, 1, 4, 9]);
  expect(await host.value("squares", "spawn")).toEqual([0, 1, 4, 9]);
});

test("the Python host keeps apart what each call prints, whoever prints it", async () => {
  await using host = await PythonHost.start(`
import ctypes, os, subprocess, sys
print("importing")
def talk(name):
    print("out", name)
    print("err", name, file=sys.stderr)
    sys.stdout.write("partial")
def shell(): subprocess.run("echo child; echo child error >&2", shell=True)
def native():
    ctypes.CDLL(None).printf(b"from C\\n")
def quiet(): pass
def many():
    for index in range(40000): print(index)
def close(): sys.stdout.close()
`);
  expect(host.log).toBe("importing\n");
  const printed = async (name: string, ...args: readonly unknown[]) => {
    const { stdout, stderr, status } = await host.call(name, args);
    expect(status).toBe("ok");
    return [textOf(stdout), textOf(stderr)];
  };
  expect(await printed("talk", "a")).toEqual(["out a\npartial", "err a\n"]);
  expect(await printed("quiet")).toEqual(["", ""]);
  expect(await printed("shell")).toEqual(["child\n", "child error\n"]);
  expect(await printed("native")).toEqual(["from C\n", ""]);
  const [many = ""] = await printed("many");
  expect(many).toHaveLength(STREAM_KEPT_BYTES);
  expect(many).toEndWith("39998\n39999\n");
  host.send("talk", ["b"]);
  host.send("quiet");
  host.send("talk", ["c"]);
  const outputs = [await host.result(), await host.result(), await host.result()];
  expect(outputs.map(({ stdout }) => textOf(stdout))).toEqual([
    "out b\npartial",
    "",
    "out c\npartial",
  ]);
  await printed("close");
  expect(await printed("quiet")).toEqual(["", ""]);
  expect(host.log).toBe("importing\n");
});

test("the Python host puts what threads print between calls into the log", async () => {
  await using host = await PythonHost.start(`
import threading
go = threading.Event()
never = threading.Event()
def leak():
    threading.Thread(target=lambda: (go.wait(), print("from the thread"), never.wait(60))).start()
def wake(): threading.Timer(0.02, go.set).start()
`);
  expect((await host.call("leak")).status).toBe("ok");
  expect(textOf((await host.call("wake")).stdout)).toBe("");
  await until(() => host.log === "from the thread\n", "the thread has printed");
  host.close();
  // It waits for no thread.
  expect(await host.ended()).toBe("exit code 0");
});

test("the Python host leaves what a call printed when it dies", async () => {
  await using host = await PythonHost.start(`
import os, sys
def die():
    print("last words")
    print("last error", file=sys.stderr)
    os._exit(3)
`);
  host.send("die");
  expect(await host.ended()).toBe("exit code 3");
  expect(readFileSync(join(host.directory, "work/stdout"), "utf8")).toBe("last words\n");
  expect(readFileSync(join(host.directory, "work/stderr"), "utf8")).toBe("last error\n");
});

test("the Python host writes into no file that was put into its directory", async () => {
  const names = ["stdout", "stderr", "value-1"];
  await using host = await PythonHost.start({
    source: "def make(): print('printed'); return bytes(1024 * 1024)",
    prepare(directory) {
      for (const name of names) {
        writeFileSync(join(directory, `cached-${name}`), "cached");
        linkSync(join(directory, `cached-${name}`), join(directory, name));
      }
    },
  });
  expect(await host.call("make")).toMatchObject({ callId: 1, status: "file" });
  for (const name of names) {
    expect(readFileSync(join(host.directory, "work", `cached-${name}`), "utf8")).toBe("cached");
  }
});

test("the Python host runs a call in its directory, and the next one in its own", async () => {
  await using host = await PythonHost.start("import os\ndef where(): return os.getcwd()");
  const directory = join(host.directory, "sandbox é");
  mkdirSync(directory);
  expect(valueOf(await host.call("where", [], { directory }))).toBe(directory);
  expect(await host.value("where")).toBe(join(host.directory, "work"));
  const gone = thrownOf(await host.call("where", [], { directory: "/absent" }));
  expect(gone.name).toBe("FileNotFoundError");
  expect(await host.value("where")).toBe(join(host.directory, "work"));
});

test("the Python host drops calls that wait, and asks after a long one", async () => {
  await using host = await PythonHost.start(`
import os, time
def block(path):
    open(path + "-begun", "w").close()
    with open(path) as file: file.read()
    time.sleep(0.011)
ran = []
def note(value):
    ran.append(value)
    return ran
`);
  const fifo = join(host.directory, "fifo");
  Bun.spawnSync(["mkfifo", fifo]);
  const block = host.send("block", [fifo]);
  await until(() => existsSync(`${fifo}-begun`), "the call runs");
  const ids = ["a", "b", "c"].map((name) => host.send("note", [name]));
  host.drop(ids[1]!);
  host.drop(999);
  await Bun.write(fifo, "go");
  expect(await host.next()).toMatchObject({ kind: "result", callId: block });
  expect(await host.next()).toEqual({ kind: "sync" });
  host.drop(ids[0]!);
  host.write(encodeSync());
  const dropped = [await host.next(), await host.next()];
  expect(dropped).toEqual([
    { kind: "dropped", callId: ids[1]! },
    { kind: "dropped", callId: ids[0]! },
  ]);
  expect(valueOf(await host.result())).toEqual(["c"]);
});

test("the Python host takes large arguments and gives large values as files", async () => {
  await using host = await PythonHost.start(`
def echo(value): return value
def make(size): return bytes(size)
`);
  for (const size of [100_000, 1024 * 1024 - 20]) {
    const bytes = new Uint8Array(size).fill(7);
    expect(await host.value("echo", bytes)).toEqual(bytes);
  }
  const numbers = Array.from({ length: 100_000 }, (_, index) => index);
  for (let index = 0; index < 3; index++) host.send("echo", [numbers]);
  for (let index = 0; index < 3; index++) {
    expect(valueOf(await host.result())).toEqual(numbers);
  }
  const { status, content, callId } = await host.call("make", [1024 * 1024]);
  const path = join(host.directory, "work", `value-${callId}`);
  expect([status, textOf(content)]).toEqual(["file", path]);
  expect(decodeValue(readFileSync(path))).toEqual(new Uint8Array(1024 * 1024));
  const args = new Uint8Array(encodeValue([1024 * 1024]));
  mkdirSync(join(host.directory, "work/value-99"));
  const failed = await host.call("make", [], { arguments: args, callId: 99 });
  expect(thrownOf(failed).name).toBe("FileExistsError");
  expect(existsSync(join(host.directory, "work/value-99"))).toBe(true);
});

test("the Python host runs a function once per item when its name begins with *", async () => {
  await using host = await PythonHost.start(`
def half(x):
    if x % 2: raise ValueError(x)
    return x // 2
def make(x): return object() if x else 1
`);
  const all = await host.value("*half", [[2], [3], [4]], false) as unknown[][];
  expect(all.map((end) => end.slice(0, 3))).toEqual([
    [true, 1],
    [false, "ValueError", "3"],
    [true, 2],
  ]);
  expect(all[1]?.[3]).toMatch(/^Traceback[^]*ValueError: 3$/);
  expect(await host.value("*half", [[2], [3], [4]], true)).toHaveLength(2);
  expect(await host.value("*half", [], true)).toEqual([]);
  const made = await host.value("*make", [[0], [1], [0]], false) as unknown[][];
  expect(made.map((end) => end.slice(0, 3))).toEqual([
    [true, 1],
    [
      false,
      "TypeError",
      'Cannot send "result" as a value: an instance of object, which only pickle: true of the ' +
      "library would send",
    ],
    [true, 1],
  ]);
  expect((await host.thrown("*absent", [[1]], true)).message).toContain('Cannot call "absent"');
});

test("the Python host ends when nobody takes its results", async () => {
  await using host = await PythonHost.start("def f(): return bytes(1000000)");
  expect(decodeValue((await host.call("f")).content)).toHaveLength(1_000_000);
  host.closeResults();
  host.send("f");
  expect(await host.ended()).toBe("exit code 0");
});
