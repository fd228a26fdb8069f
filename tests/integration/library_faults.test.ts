import { expect, test } from "bun:test";

import { type Library, Manager, type Outcome, TaskError } from "../../mod.ts";
import { processesOf, Scratch, until } from "./scratch.ts";

/** Functions that do what functions should not, and some that are good. */
const SOURCE = `
import os
import subprocess
import sys
import threading
import time

import tendril

def load():
    return {"count": 0}

def add(a, b):
    return a + b

def leave():
    os._exit(3)

def crash():
    os.kill(os.getpid(), 11)

def say(word):
    print(word)
    print(word + "!", file=sys.stderr)
    subprocess.run(["sh", "-c", f"echo child of {word}; echo child of {word}! >&2"])
    return word

def generate():
    return {"rows": [1, (row for row in [1, 2])]}

def forever():
    while True:
        time.sleep(0.01)

def leak():
    threading.Thread(target=time.sleep, args=(600,), name="leaked").start()
    return "leaked"

def threads():
    return [thread.name for thread in threading.enumerate()]

def count():
    tendril.context["count"] += 1
    return tendril.context["count"]

class Refusal(Exception):
    pass

def refuse(what):
    raise Refusal(f"not {what}")

def look_up():
    return {}["missing"]
`;

const MODES = ["direct", "fork"] as const;
type Mode = typeof MODES[number];

interface Fault {
  readonly name: string;
  readonly args?: readonly unknown[];
  readonly timeout?: string;
  readonly outcome: Outcome;
  /** A part of it. */
  readonly message: string;
}

const FAULTS: readonly Fault[] = [
  {
    name: "leave",
    outcome: "library_failed",
    message: 'The process of function "leave" died: exit code 3',
  },
  {
    name: "crash",
    outcome: "library_failed",
    message: 'The process of function "crash" died: killed by SIGSEGV',
  },
  {
    name: "generate",
    outcome: "call_error",
    message: 'TypeError: Cannot send "result.rows[1]" as a value: a generator',
  },
  {
    name: "forever",
    timeout: "200ms",
    outcome: "timeout",
    message: "The call was stopped: its time was up: 200 ms",
  },
  { name: "absent", outcome: "call_error", message: 'Cannot call "absent" as a function' },
  { name: "add", args: [1], outcome: "call_error", message: "TypeError: add() missing 1 required" },
];

async function withLibrary(
  mode: Mode,
  work: (library: Library, mark: string) => Promise<void>,
  slots: number = 1,
): Promise<void> {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const { mark } = await scratch.worker(manager, { cores: 2 });
  const library = manager.library({ name: "faulty", python: SOURCE, context: "load", mode, slots });
  await work(library, mark);
}

test.each(MODES)(
  "Faulty functions in mode %s end as what happened, and others go on",
  (mode) =>
    withLibrary(mode, async (library) => {
      for (const { name, args = [], timeout, outcome, message } of FAULTS) {
        const options = timeout === undefined ? {} : { timeout };
        const faulty = library.with(options).call(name, ...args);
        const good = [1, 2, 3].map((n) => library.call<number>("add", n, n));
        const end = await faulty;
        expect([name, end.outcome]).toEqual([name, outcome]);
        expect(end.message).toContain(message);
        expect(await Promise.all(good.map((call) => call.value()))).toEqual([2, 4, 6]);
      }
    }),
  120_000,
);

test.each(MODES)(
  "stdout and stderr of each call in mode %s are its own",
  (mode) =>
    withLibrary(mode, async (library) => {
      const words = ["one", "two", "three", "four"];
      const results = await Promise.all(words.map((word) => library.call("say", word)));
      for (const [index, { stdout, stderr }] of results.entries()) {
        const word = words[index];
        expect(stdout).toBe(`${word}\nchild of ${word}\n`);
        expect(stderr).toBe(`${word}!\nchild of ${word}!\n`);
      }
      expect((await library.call("add", 1, 2)).stdout).toBe("");
    }, 2),
  120_000,
);

test.each([["direct", ["MainThread", "leaked"]], ["fork", ["MainThread"]]] as const)(
  "A function in mode %s that leaks a thread returns, and leaves to the next %j",
  (mode, threads) =>
    withLibrary(mode, async (library, mark) => {
      expect(await library.call("threads").value()).toEqual(["MainThread"]);
      const processCount = processesOf(mark).length;
      const { outcome, message } = await library.call("leak");
      expect([outcome, message]).toEqual(["success", ""]);
      expect(await library.call("threads").value()).toEqual([...threads]);
      // No child is left that waits for its thread.
      await until(() => processesOf(mark).length <= processCount, "the child has gone");
    }),
  120_000,
);

test.each([["direct", [1, 2, 3, 4, 5]], ["fork", [1, 1, 1, 1, 1]]] as const)(
  "Calls in mode %s see of the context what others have made of it: %j",
  (mode, counts) =>
    withLibrary(mode, async (library) => {
      const seen: number[] = [];
      for (const _ of counts) seen.push(await library.call<number>("count").value());
      expect(seen).toEqual([...counts]);
    }),
  120_000,
);

test.each(MODES)(
  "An exception in mode %s arrives with type, message and traceback",
  (mode) =>
    withLibrary(mode, async (library) => {
      const call = library.call("refuse", "today");
      const error = await call.value().then(() => undefined, (thrown: unknown) => thrown);
      if (!(error instanceof TaskError)) throw new Error(`It threw ${error}`);
      expect(error.message).toBe("Refusal: not today");
      expect(error.stack).toContain("Traceback (most recent call last):");
      expect(error.stack).toMatch(/line \d+, in refuse/);
      expect(error.stack).toContain("not today");
      expect((await call).outcome).toBe("call_error");
      const missing = library.call("look_up");
      await expect(missing.value()).rejects.toThrow("KeyError: 'missing'");
    }),
  120_000,
);

const LOADING = "def load():\n    print('loading')\n    raise ValueError('no model')\n";

test.each(
  [
    ["direct", ["No module named 'no_such_module'"], { python: "import no_such_module\n" }],
    ["direct", ["exit code 7", "bye"], { python: "import os\nprint('bye')\nos._exit(7)\n" }],
    ["direct", ["ValueError: no model", "loading"], { python: LOADING, context: "load" }],
    ["fork", ["ValueError: no model", "loading"], { python: LOADING, context: "load" }],
  ] as const,
)(
  "A library in mode %s that cannot start ends its calls with what it has said: %j",
  async (mode, said, program) => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start({ policies: { libraryRetries: 1 } });
    await scratch.worker(manager);
    const { outcome, message } = await manager.library({ name: "broken", mode, ...program })
      .call("anything");
    expect(outcome).toBe("library_failed");
    for (const words of said) expect(message).toContain(words);
  },
  120_000,
);

test(
  "A program that exits before it is ready ends its calls with what it has printed",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start({ policies: { libraryRetries: 1 } });
    await scratch.worker(manager);
    const command = "echo no license; echo to be had >&2; exit 7";
    const { outcome, message } = await manager.library({ name: "server", command }).call("serve");
    expect(outcome).toBe("library_failed");
    for (const words of ["exit code 7", "no license", "to be had"]) {
      expect(message).toContain(
        words,
      );
    }
  },
  120_000,
);
