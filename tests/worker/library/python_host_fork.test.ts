import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { encodeDrop } from "../../../worker/library/call_protocol.ts";
import { until } from "../../until.ts";
import { PythonHost, textOf, thrownOf, valueOf } from "./python_host.ts";

const SYSTEM_PYTHON = "/usr/bin/python3";

const HAS_NUMPY: boolean = spawnSync(SYSTEM_PYTHON, ["-c", "import numpy"]).status === 0;

/** Functions of most tests; `meet` returns when all that were called are in it. */
const SOURCE = `
import ctypes, os, random, signal, subprocess, sys, threading, time, tendril

def setup(): return {"values": [0], "pid": os.getpid()}
def change(value):
    tendril.context["values"].append(value)
    return tendril.context["values"]
def pids(): return [os.getpid(), os.getppid() == tendril.context["pid"], os.getpgid(0)]
def numbers(): return random.random()
def meet(directory, name, count):
    open(os.path.join(directory, name), "w").close()
    while len(os.listdir(directory)) < count: time.sleep(0.005)
    print(name)
    return name
def leave(code): os._exit(code)
def die(): os.kill(os.getpid(), signal.SIGKILL)
def crash():
    print("before", flush=True)
    if os.fork() == 0: time.sleep(600)
    os.kill(os.getpid(), signal.SIGSEGV)
def crash_below():
    # A process of C's making, of which Python does not know.
    if ctypes.CDLL(None).fork() == 0: time.sleep(600)
    os.kill(os.getpid(), signal.SIGSEGV)
def fail(): raise ValueError("no")
def hang(path):
    leavers = [subprocess.Popen(["sleep", "600"]),
        subprocess.Popen(["sleep", "600"], start_new_session=True)]
    note(path, [os.getpid()] + [each.pid for each in leavers])
    print("hanging")
    time.sleep(600)
def note(path, pids):
    with open(path + ".part", "w") as file: file.write(" ".join(map(str, pids)))
    os.rename(path + ".part", path)
def leak(path):
    child = subprocess.Popen(["sleep", "600"])
    threading.Thread(target=time.sleep, args=(600,)).start()
    note(path, [os.getpid(), child.pid])
    return 1
def where(): return os.getcwd()
def make(size): return bytes(size)
def echo(value): return value
def descriptors():
    found = [os.readlink("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd") if is_open(fd)]
    return sorted(target.split(":")[0] for target in found if target.startswith(("pipe", "socket")))
def is_open(fd): return os.path.islink("/proc/self/fd/%s" % fd)
def garble():
    for fd in range(5, 64):
        if not is_open(fd) or "pipe" not in os.readlink("/proc/self/fd/%d" % fd): continue
        try: os.write(fd, b"result 1 ok 1000\\n")
        except OSError: pass
    time.sleep(600)
def tell():
    print("out")
    print("err", file=sys.stderr)
    subprocess.run("echo child", shell=True)
    sys.stdout.write("partial")
async def later(): return 5
`;

/** Starts a host with the functions above. */
function start(slots: number, more: { source?: string } = {}): Promise<PythonHost> {
  return PythonHost.start({ source: SOURCE, mode: "fork", slots, context: "setup", ...more });
}

test("the forking Python host runs each call in a child that changes no context", async () => {
  await using host = await start(2);
  expect(await host.value("change", 1)).toEqual([0, 1]);
  expect(await host.value("change", 2)).toEqual([0, 2]);
  const [pid, isChild, group] = await host.value("pids") as [number, boolean, number];
  expect([isChild, group]).toEqual([true, pid]);
  const numbers = new Set([await host.value("numbers"), await host.value("numbers")]);
  expect(numbers.size).toBe(2);
  expect(await host.value("later")).toBe(5);
  expect(await host.thrown("fail")).toMatchObject({ name: "ValueError", message: "no" });
});

test.if(HAS_NUMPY)("the forking Python host seeds numpy anew in each child", async () => {
  const source = "import numpy\ndef number(): return numpy.random.random()";
  const options = { source, mode: "fork", slots: 1, python: SYSTEM_PYTHON } as const;
  await using host = await PythonHost.start(options);
  expect(await host.value("number")).not.toBe(await host.value("number"));
});

test("the forking Python host runs as many calls at a time as it has slots", async () => {
  await using host = await start(3);
  for (const round of ["a", "b"]) {
    const directory = join(host.directory, round);
    mkdirSync(directory);
    // Each waits for the three; a fourth waits for a slot.
    const names = ["x", "y", "z", "w"].map((name) => round + name);
    for (const name of names) host.send("meet", [directory, name, 3]);
    const results = [];
    for (const _ of names) results.push(await host.result());
    expect(results.map(valueOf).toSorted()).toEqual(names.toSorted());
    for (const result of results) expect(textOf(result.stdout)).toBe(`${valueOf(result)}\n`);
  }
});

test("the forking Python host tells how a child died, and the others go on", async () => {
  await using host = await start(2);
  const directory = join(host.directory, "both");
  mkdirSync(directory);
  const other = host.send("meet", [directory, "a", 2]);
  const ends: readonly (readonly [string, readonly unknown[], string])[] = [
    ["leave", [3], "exit code 3"],
    ["leave", [0], "exit code 0"],
    ["die", [], "killed by SIGKILL"],
    // A process that it left holds all that it held.
    ["crash", [], "killed by SIGSEGV"],
    ["crash_below", [], "killed by SIGSEGV"],
    ["garble", [], "killed by SIGKILL"],
  ];
  for (const [name, args, how] of ends) {
    const { status, content, stdout } = await host.call(name, args);
    expect([status, textOf(content)]).toEqual([
      "exit",
      `The process of function "${name}" died: ${how}`,
    ]);
    expect(textOf(stdout)).toBe(name === "crash" ? "before\n" : "");
  }
  writeFileSync(join(directory, "b"), "");
  expect(await host.result()).toMatchObject({ callId: other, status: "ok" });
});

test("the forking Python host stops a call with all its processes", async () => {
  await using host = await start(1);
  const path = join(host.directory, "pids");
  const id = host.send("hang", [path]);
  const waiting = host.send("numbers");
  await until(() => existsSync(path), "the call runs");
  host.stop(id);
  host.stop(id);
  host.stop(999);
  const result = await host.result();
  expect(result).toMatchObject({ callId: id, status: "stopped", content: new Uint8Array(0) });
  expect(textOf(result.stdout)).toBe("hanging\n");
  expect(await host.result()).toMatchObject({ callId: waiting, status: "ok" });
  await allGone(path);
});

test("the forking Python host takes back calls that wait", async () => {
  await using host = await start(1);
  const path = join(host.directory, "pids");
  const id = host.send("hang", [path]);
  await until(() => existsSync(path), "the call runs");
  const [second, third, fourth] = [
    host.send("numbers"),
    host.send("numbers"),
    host.send("echo", [4]),
  ];
  host.write(encodeDrop(second), encodeDrop(id));
  expect(await host.next()).toEqual({ kind: "dropped", callId: second });
  host.stop(third);
  expect(await host.result()).toMatchObject({ callId: third, status: "stopped" });
  host.stop(id);
  expect(await host.result()).toMatchObject({ callId: id, status: "stopped" });
  expect(await host.result()).toMatchObject({ callId: fourth, status: "ok" });
});

test("the forking Python host ends what a call leaves running", async () => {
  await using host = await start(1);
  const path = join(host.directory, "pids");
  expect(await host.value("leak", path)).toBe(1);
  await allGone(path);
});

test("the forking Python host ends all calls when the worker is gone", async () => {
  for (const end of ["close", "kill"] as const) {
    await using host = await start(2);
    const path = join(host.directory, "pids");
    host.send("hang", [path]);
    await until(() => existsSync(path), "the call runs");
    if (end === "close") host.close();
    else process.kill(host.pid, "SIGKILL");
    await host.ended();
    const pids = readFileSync(path, "utf8").split(" ");
    const mustEnd = end === "close" ? 2 : 1;
    await until(() => !pids.slice(0, mustEnd).some(isAlive), "the child is gone, and its group");
    // What is left when the host is killed, or has left its group, is the worker's to find.
    for (const pid of pids.slice(1)) if (isAlive(pid)) process.kill(Number(pid), "SIGKILL");
  }
});

test("the forking Python host keeps apart what each call prints, and works in its directory", async () => {
  await using host = await start(2);
  const { stdout, stderr } = await host.call("tell");
  expect([textOf(stdout), textOf(stderr)]).toEqual(["out\nchild\npartial", "err\n"]);
  expect(textOf((await host.call("numbers")).stdout)).toBe("");
  expect(host.log).toBe("");
  const directory = join(host.directory, "sandbox");
  mkdirSync(directory);
  const id = host.send("where", [], { directory });
  const running = await host.next();
  expect(running).toMatchObject({ kind: "running", callId: id });
  expect(valueOf(await host.result())).toBe(directory);
  expect(await host.value("where")).toBe(join(host.directory, "work"));
});

test("the forking Python host lets a child have the pipe of its own result alone", async () => {
  await using host = await start(4);
  const directory = join(host.directory, "all");
  mkdirSync(directory);
  for (const name of ["a", "b", "c"]) host.send("meet", [directory, name, 4]);
  await until(() => readdirSync(directory).length === 3, "three calls run");
  // Its own pipe, and those that the test gave Python as its output.
  const found = await host.value("descriptors") as string[];
  writeFileSync(join(directory, "d"), "");
  for (let count = 0; count < 3; count++) await host.result();
  expect(await host.value("descriptors")).toEqual(found);
});

test("the forking Python host relays large values", async () => {
  await using host = await start(2);
  const bytes = new Uint8Array(1024 * 1024 - 20).fill(7);
  host.send("echo", [bytes]);
  host.send("echo", [bytes]);
  for (let count = 0; count < 2; count++) expect(valueOf(await host.result())).toEqual(bytes);
  const { status, content, callId } = await host.call("make", [1024 * 1024]);
  expect(status).toBe("file");
  expect(textOf(content)).toBe(join(host.directory, "work", `value-${callId}`));
});

test("the forking Python host imports what one call had to, for all that follow", async () => {
  const source = `
import sys
def loaded(name): return name in sys.modules
def year(date): return [date.year, loaded("datetime")]
def fail(): raise ValueError("no")
`;
  await using host = await PythonHost.start({ source, mode: "fork" });
  expect(await host.value("loaded", "datetime")).toBe(false);
  expect(await host.value("year", new Date(0))).toEqual([1970, true]);
  expect(await host.value("loaded", "datetime")).toBe(true);
  expect((await host.thrown("fail")).stack).toContain("in fail");
  expect(await host.value("loaded", "traceback")).toBe(true);
});

test("the forking Python host fails a call that it cannot make, not the others", async () => {
  await using host = await start(1);
  const broken = await host.call("echo", [], { arguments: new Uint8Array([0x9f]) });
  expect(thrownOf(broken).message).toContain("an indefinite length");
  expect(await host.value("echo", 1)).toBe(1);
});

test("the forking Python host serves many short calls", async () => {
  await using host = await start(2);
  for (let index = 0; index < 200; index++) host.send("echo", [index]);
  const values: unknown[] = [];
  while (values.length < 200) values.push(valueOf(await host.result()));
  expect(values.toSorted((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 200 }, (_, index) => index),
  );
  // No process is left of them.
  const children = `/proc/${host.pid}/task/${host.pid}/children`;
  await until(() => readFileSync(children, "utf8") === "", "the last is reaped");
});

async function allGone(path: string): Promise<void> {
  for (const pid of readFileSync(path, "utf8").split(" ")) {
    await until(() => !isAlive(pid), `process ${pid} is gone`);
  }
}

/** A process whose end nobody took notice of yet is not alive. */
function isAlive(pid: string): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
