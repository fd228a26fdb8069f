/** What becomes of local tries when a process of theirs is killed, and where their files are. */

import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import { app, AppError, load, localProcesses, shellApp } from "../../mod.ts";
import { ROOT } from "../binary/built.ts";
import { markedEnvironment, processesOf, Scratch, until, untilGone } from "./scratch.ts";

/** The parent of a process. */
function parentOf(processId: number): number {
  const stat = readFileSync(`/proc/${processId}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

test("localProcesses() ends all that it started when its process is killed", async () => {
  await using scratch = await Scratch.open();
  const script = scratch.path("script.ts");
  const seconds = `8${process.pid}${Date.now() % 100_000}`;
  writeFileSync(
    script,
    `import { app, load, localProcesses, shellApp } from ${JSON.stringify(join(ROOT, "mod.ts"))};
await using flow = await load({ executors: [localProcesses({ count: 2 })] });
const command = shellApp(() => "setsid sleep ${seconds} & sleep ${seconds}");
const wait = app(async (seconds) => {
  const { spawn } = await import("node:child_process");
  spawn("sleep", [seconds]);
  await new Promise(() => {});
});
await Promise.all([command(), wait("${seconds}")]);
`,
  );
  const mark = `local-${seconds}`;
  const child = spawn(process.execPath, ["Deno" in globalThis ? "-A" : "run", script], {
    env: { ...process.env, ...markedEnvironment(mark) },
    stdio: "inherit",
  });
  await until(() => processesOf(`sleep ${seconds}`).length >= 3, "all of them run");
  child.kill("SIGKILL");
  await untilGone(mark);
}, 60_000);

test("localProcesses() tells of tries whose host was killed, and goes on", async () => {
  const seconds = `7${process.pid}${Date.now() % 100_000}`;
  await using _flow = await load({ executors: [localProcesses({ count: 1 })] });
  const sleep = shellApp((seconds: string) => `echo $$; sleep ${seconds}`);
  const future = sleep(seconds);
  const find = (): number | undefined => {
    const [found] = processesOf(`sleep ${seconds}`);
    return found === undefined ? undefined : Number(found.split(" ")[0]);
  };
  await until(() => find() !== undefined, "it runs");
  const shell = processesOf(`sleep ${seconds}`).map((one) => Number(one.split(" ")[0]));
  const host = shell.map(parentOf).find((one) => !shell.includes(one))!;
  process.kill(host, "SIGKILL");
  const error = await Promise.resolve(future).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(AppError);
  expect((error as AppError).failure.kind).toBe("worker_lost");
  await until(() => find() === undefined, "nothing of it is left");
  const again = app((n: number) => n + 1);
  expect(await again(1)).toBe(2);
}, 60_000);

test(
  "localProcesses() keeps files that calls made in a folder that was stated, alone",
  async () => {
    await using scratch = await Scratch.open();
    const folder = scratch.path("flow");
    const make = shellApp(() => "echo made > made.txt", { outputs: { made: "made.txt" } });
    {
      await using _flow = await load({ executors: [localProcesses({ count: 1, folder })] });
      expect(await make().outputs.made.text()).toBe("made\n");
      expect(await app((n: number) => n)(1)).toBe(1);
    }
    const [own, ...others] = readdirSync(folder);
    expect(others).toEqual([]);
    expect(readdirSync(join(folder, own!))).toEqual(["outputs"]);
    const [made] = readdirSync(join(folder, own!, "outputs"));
    expect(readFileSync(join(folder, own!, "outputs", made!, "made.txt"), "utf8")).toBe("made\n");
    const other = scratch.path("other");
    {
      const local = localProcesses({ count: 1, folder: other });
      await using _flow = await load({ executors: [local] });
      expect(await app((n: number) => n)(1)).toBe(1);
    }
    expect(existsSync(other) ? readdirSync(other) : []).toEqual([]);
  },
  60_000,
);

test(
  "localProcesses() begins calls by their priority, and no more than it has cores for",
  async () => {
    await using scratch = await Scratch.open();
    const log = scratch.path("order");
    await using _flow = await load({ executors: [localProcesses({ count: 2 })] });
    const note = shellApp((name: string, path: string) => {
      return `echo ${name} >> ${path}; test $(grep -c . ${path}) -ge 1`;
    }, { cores: 2 });
    const first = note("first", log);
    const rest = ["low", "high", "middle"].map((name, index) => {
      return note.with({ priority: [0, 9, 5][index]! })(name, log);
    });
    await Promise.all([first, ...rest]);
    expect(readFileSync(log, "utf8").trimEnd().split("\n").slice(1)).toEqual([
      "high",
      "middle",
      "low",
    ]);
  },
  60_000,
);
