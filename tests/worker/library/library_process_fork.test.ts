import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { CallResult } from "../../../worker/library/library_call.ts";
import {
  contentsOf,
  goneOf,
  startInstance,
  type TestInstance,
  textOf,
  valueOf,
} from "./library_instance.ts";

const MODEL = `
import ctypes, os, signal, subprocess, sys, time

shared = {"count": 0}

def add(n):
    shared["count"] += n
    return shared["count"]

def where():
    return [os.getppid(), os.getpid()]

def until(path):
    tell(path + ".pids", os.getppid(), os.getpid())
    while not os.path.exists(path):
        time.sleep(0.005)
    return path

def tell(path, *ids):
    with open(path + ".part", "w") as file:
        file.write(" ".join(str(each) for each in ids))
    os.rename(path + ".part", path)

def leave(path):
    """Starts a process that no group of ours has, and stays."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    tell(path + ".pids", os.getppid(), os.getpid(), child.pid)
    signal.pause()

def die(how):
    print("last words", flush=True)
    print("and these", file=sys.stderr, flush=True)
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), getattr(signal, how))
    signal.pause()
`;

function startModel(
  slots: number,
  mode: "fork" | "direct" = "fork",
): Promise<TestInstance> {
  return startInstance({ python: MODEL }, { mode, slots });
}

test("call() runs as many forked calls at once as there are slots, each in a copy", async () => {
  await using instance = await startModel(3);
  const paths = ["a", "b", "c"].map((name) => join(instance.directory, name));
  const calls = paths.map((path) => instance.call("until", [path]));
  const ids = await Promise.all(paths.map((path) => idsOf(`${path}.pids`)));
  expect(new Set(ids.map(([parent]) => parent)).size).toBe(1);
  expect(new Set(ids.map(([, child]) => child)).size).toBe(3);
  // They end in any order.
  for (const index of [2, 0, 1]) {
    await writeFile(paths[index]!, "");
    expect(valueOf(await calls[index]!)).toBe(paths[index]);
  }
  const sums = await instance.callAll([["add", 1], ["add", 2], ["add", 4]]);
  expect(sums.map(valueOf)).toEqual([1, 2, 4]);
});

test("call() serves many forked calls, each once", async () => {
  await using instance = await startModel(4);
  const calls = Array.from({ length: 100 }, (_, n) => ["add", n] as const);
  expect((await instance.callAll(calls)).map(valueOf)).toEqual(calls.map(([, n]) => n));
  expect(instance.results.length).toBe(100);
});

test("cancel() ends a forked call with all that it started, and nothing else", async () => {
  await using instance = await startModel(2);
  const [left, other] = ["left", "other"].map((name) => join(instance.directory, name));
  const callId = instance.nextCallId;
  const leaving = instance.call("leave", [left]);
  const waiting = instance.call("until", [other!]);
  const behind = instance.call("where");
  const [parent, child, grandchild] = await idsOf(`${left}.pids`);
  await idsOf(`${other}.pids`);
  instance.library.cancel(callId);
  expect((await leaving).end).toEqual({ kind: "cancelled" });
  expect((valueOf(await behind) as number[])[0]).toBe(parent!);
  await Promise.all([child!, grandchild!].map(goneOf));
  expect(() => process.kill(child!, 0)).toThrow();
  await writeFile(other!, "");
  expect((await waiting).end.kind).toBe("ok");
});

test("call() stops a forked call at its timeout, and the others go on", async () => {
  await using instance = await startModel(2);
  const path = join(instance.directory, "go");
  const going = instance.call("until", [path]);
  const late = await instance.call("leave", [join(instance.directory, "late")], { timeoutMs: 60 });
  expect(late.end).toEqual({ kind: "timeout" });
  expect(late.ranMs).toBeGreaterThanOrEqual(60);
  await writeFile(path, "");
  expect((await going).end.kind).toBe("ok");
});

test("cancel() takes a call back that waits behind forked ones", async () => {
  await using instance = await startModel(1);
  await instance.callAll(Array.from({ length: 20 }, (_, n) => ["add", n] as const));
  const path = join(instance.directory, "go");
  const callId = instance.nextCallId;
  const going = instance.call("until", [path]);
  const cancelled = instance.call("add", [1]);
  const after = instance.call("add", [2]);
  instance.library.cancel(callId + 1);
  expect((await cancelled).end).toEqual({ kind: "cancelled" });
  await writeFile(path, "");
  expect((await Promise.all([going, after])).map(({ end }) => end.kind)).toEqual(["ok", "ok"]);
});

test("call() tells how a forked call died and what it had printed; the others go on", async () => {
  await using instance = await startModel(2);
  const path = join(instance.directory, "go");
  const going = instance.call("until", [path]);
  for (const [how, found] of [["exit", "exit code 3"], ["SIGSEGV", "killed by SIGSEGV"]]) {
    const result = await instance.call("die", [how]);
    expectDeath(result, found!);
  }
  await writeFile(path, "");
  expect((await going).end.kind).toBe("ok");
});

test("call() tells how the process of a direct call died and what it had printed", async () => {
  await using instance = await startModel(1, "direct");
  for (const [how, found] of [["exit", "exit code 3"], ["SIGSEGV", "killed by SIGSEGV"]]) {
    const result = await instance.call("die", [how]);
    expectDeath(result, found!);
  }
  expect(valueOf(await instance.call("add", [1]))).toBe(1);
});

test("call() loses the forked calls that ran when their process was killed, and no others", async () => {
  await using instance = await startModel(2);
  await instance.callAll(Array.from({ length: 20 }, (_, n) => ["add", n] as const));
  const paths = ["a", "b"].map((name) => join(instance.directory, name));
  const calls = paths.map((path) => instance.call("leave", [path]));
  const behind = Array.from({ length: 5 }, () => instance.call("where"));
  const ids = await Promise.all(paths.map((path) => idsOf(`${path}.pids`)));
  const [parent] = ids[0]!;
  process.kill(parent!, "SIGKILL");
  for (const call of calls) {
    const { end } = await call;
    expect(end).toEqual({
      kind: "lost",
      message: 'The process of function "leave" died: killed by SIGKILL',
      isAmbiguous: true,
    });
  }
  const parents = (await Promise.all(behind)).map((result) => (valueOf(result) as number[])[0]);
  expect(new Set(parents).size).toBe(1);
  expect(parents[0]).not.toBe(parent!);
  // Children of the dead process, and what these had started in sessions of their own.
  await Promise.all(ids.flat().map(goneOf));
});

test("cancel() ends the process of a direct call, and what it left, within a second", async () => {
  await using instance = await startModel(1, "direct");
  const path = join(instance.directory, "left");
  const callId = instance.nextCallId;
  const leaving = instance.call("leave", [path]);
  const [, child, grandchild] = await idsOf(`${path}.pids`);
  instance.library.cancel(callId);
  expect((await leaving).end).toEqual({ kind: "cancelled" });
  await Promise.all([child!, grandchild!].map(goneOf));
  expect(valueOf(await instance.call("add", [1]))).toBe(1);
});

test("close() leaves nothing of forked calls", async () => {
  const instance = await startModel(2);
  const paths = ["a", "b"].map((name) => join(instance.directory, name));
  for (const path of paths) void instance.call("leave", [path]);
  const ids = await Promise.all(paths.map((path) => idsOf(`${path}.pids`)));
  await instance[Symbol.asyncDispose]();
  await Promise.all(ids.flat().map(goneOf));
});

test("cancel() ends a process that does not stop a call, and loses the others with it", async () => {
  // It takes two calls, answers none and knows no "stop"; the next process answers at once.
  const source = `
    echo ready >&4
    if mkdir deaf 2>/dev/null; then sleep 600; fi
    while read -r word id name size paths <&3; do
      head -c "$((size + paths))" <&3 >/dev/null
      printf 'result %s ok 1\\n\\007' "$id" >&4
    done
  `;
  const command = ["/bin/sh", "-c", source];
  await using instance = await startInstance({ command }, { mode: "fork", slots: 2 });
  const callId = instance.nextCallId;
  const calls = ["deaf", "other", "behind"].map((name) => instance.call(name));
  instance.library.cancel(callId);
  const ends = (await Promise.all(calls)).map(({ end }) => end);
  expect(ends.slice(0, 2)).toEqual([
    { kind: "cancelled" },
    {
      kind: "lost",
      message: 'The process of function "other" died: it did not stop function "deaf" in 500 ms',
      isAmbiguous: true,
    },
  ]);
  expect(ends[2]?.kind).toBe("ok");
});

function expectDeath(result: CallResult, found: string): void {
  const message = `The process of function "die" died: ${found}`;
  expect(result.end).toEqual({ kind: "lost", message });
  expect(textOf(result.stdout)).toBe("last words\n");
  expect(textOf(result.stderr)).toBe("and these\n");
}

/** Process ids that a function has written. */
async function idsOf(path: string): Promise<number[]> {
  return (await contentsOf(path)).split(" ").map(Number);
}
