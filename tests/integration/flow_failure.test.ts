/** Calls of flows on real workers: cancelled, timed out, lost with their worker. */

import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import process from "node:process";

import {
  app,
  type AppError,
  CancelledError,
  DependencyError,
  load,
  Manager,
  pythonApp,
  shellApp,
} from "../../mod.ts";
import { markedEnvironment, processesOf, Scratch, until } from "./scratch.ts";

/** A command with processes that outlive their shell, in its group and in another session. */
const FAMILY = "(setsid sleep 600 &) ; sleep 600 & trap '' INT TERM; sleep 600; sleep 600";

async function errorOf(future: PromiseLike<unknown>): Promise<Error> {
  return await future.then(() => new Error("it succeeded"), (error: Error) => error);
}

function sleepsOf(mark: string): readonly string[] {
  return processesOf(mark).filter((line) => line.includes("sleep 600"));
}

test(
  "cancel() of a command ends all its processes, and what depends on it does not run",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager);
    await using _flow = await load({ manager });
    const call = shellApp(() => FAMILY)();
    const next = app((value: unknown) => value)(call);
    await until(() => sleepsOf(worker.mark).length >= 3, "it runs");
    call.cancel();
    expect([call.state, next.state]).toEqual(["cancelled", "dep_fail"]);
    expect(await errorOf(call)).toBeInstanceOf(CancelledError);
    await until(() => sleepsOf(worker.mark).length === 0, "its processes are gone");
  },
  30_000,
);

test(
  "timeout ends a command with all its processes, and a Python function in a call of C",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager, { cores: 3 });
    await using _flow = await load({ manager });
    const code = "import time\ndef nap(seconds):\n    time.sleep(seconds)\n    return seconds\n";
    const nap = pythonApp<number>(code, "nap", { timeout: "1s" });
    const family = shellApp(() => FAMILY, { timeout: "1s" });
    const [slow, many] = await Promise.all([errorOf(nap(600)), errorOf(family())]);
    expect([(slow as AppError).failure.kind, (many as AppError).failure.kind]).toEqual([
      "timeout",
      "timeout",
    ]);
    await until(() => sleepsOf(worker.mark).length === 0, "its processes are gone");
    // The next call is served by another process.
    expect(await nap(0)).toBe(0);
  },
  30_000,
);

test("A call whose worker is killed runs again, and no retry is charged", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const first = await scratch.worker(manager);
  await using _flow = await load({ manager });
  const path = scratch.path("gate");
  const log = scratch.path("log");
  const work = shellApp((gate: string) =>
    `echo ran >> ${log}; while [ ! -e ${gate} ]; do sleep 0.05; done; echo done`
  );
  const call = work(path);
  await until(() => existsSync(log), "it runs");
  first.child.kill("SIGKILL");
  await first.ended;
  await scratch.worker(manager);
  await until(() => readFileSync(log, "latin1").split("\n").length === 3, "it runs again");
  await writeFile(path, "");
  expect([(await call).stdout, call.tryCount]).toEqual(["done\n", 1]);
}, 30_000);

test(
  "A manager that is closed fails the calls that wait, and those that are made later",
  async () => {
    await using _scratch = await Scratch.open();
    const manager = await Manager.start();
    await using _flow = await load({ manager, retries: 3 });
    const add = app((a: number, b: number) => a + b);
    const waits = add(1, 2);
    const next = add(waits, 3);
    const never = add(new Promise<number>(() => {}), 3);
    await manager.close();
    const errors = [await errorOf(waits), await errorOf(next), await errorOf(never)];
    expect(errors.map(({ message }) => message.replace(/^.*: /, ""))).toEqual([
      "the manager was closed",
      "the manager was closed",
      "the manager was closed",
    ]);
    expect(errors[0]).toBeInstanceOf(CancelledError);
    expect(() => add(1, 2)).toThrow('Cannot call "add": the manager was closed');
  },
  30_000,
);

test("A local worker that is killed amid calls is replaced, and its calls run again", async () => {
  await using scratch = await Scratch.open();
  const log = scratch.path("log");
  const mark = randomUUID();
  Object.assign(process.env, markedEnvironment(mark));
  await using _flow = await load({ workers: 1 });
  const work = shellApp(() => `echo ran >> ${log}; sleep 0.1; echo done`);
  const calls = Array.from({ length: 6 }, () => work());
  await until(() => existsSync(log), "one runs");
  const [worker = ""] = processesOf(mark).filter((line) => line.includes(" worker "));
  process.kill(Number(worker.split(" ")[0]), "SIGKILL");
  const ends = await Promise.all(calls);
  expect(ends.map(({ stdout }) => stdout)).toEqual(Array(6).fill("done\n"));
  expect(calls.map(({ tryCount }) => tryCount)).toEqual(Array(6).fill(1));
}, 30_000);

test(
  "A function that needs what cannot travel is refused by name, where it is declared or called",
  async () => {
    await using _scratch = await Scratch.open();
    await using manager = await Manager.start();
    await using _flow = await load({ manager });
    const rate = Math.random();
    class Account {
      readonly balance = rate;
    }
    expect(() => app((n: number) => n * rate)).toThrow('"rate"');
    const balance = app((account: { readonly balance: number }) => account.balance);
    expect(() => balance(new Account())).toThrow('Cannot call "balance": ');
    expect(() => balance(new Account())).toThrow("Account");
    const later = Promise.resolve(1);
    expect(() => app((a: unknown, b: unknown) => [a, b])(later, [new Account()])).toThrow(
      "Account",
    );
    expect(() => app((a: unknown) => a)({ deep: [() => 1] })).toThrow("function");
  },
  30_000,
);

test("A failed Python function gives its traceback, and a command its last lines", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager, { cores: 2 });
  await using _flow = await load({ manager });
  const code =
    "def inner(n):\n    raise KeyError('no sample %d' % n)\ndef outer(n):\n    return inner(n)\n";
  const python = await errorOf(pythonApp<number>(code, "outer")(3));
  expect((python.cause as Error).name).toBe("KeyError");
  expect(python.stack).toContain("in inner");
  expect(python.message).toMatch(
    /^Call \d+, outer\(3\), failed as call_error \(worker \S+ on \S+\): /,
  );
  const shell = await errorOf(
    shellApp(() => "echo one >&2; echo two >&2; exit 3", { name: "bad" })(),
  );
  expect(shell.message).toMatch(
    /^Call \d+, bad\(\), failed as exit \(worker \S+ on \S+\): .*3.*\n {2}\| one\n {2}\| two$/,
  );
  const next = await errorOf(app((value: unknown) => value)(pythonApp<number>(code, "outer")(4)));
  expect(next).toBeInstanceOf(DependencyError);
  expect(next.stack).toContain("in inner");
}, 30_000);
