/** Scripts of flows as processes: their ends, and what they say of failures. */

import { expect, test } from "bun:test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import process from "node:process";

import { BINARY } from "../binary/built.ts";
import { markedEnvironment, processesOf, Scratch, until, untilGone } from "./scratch.ts";

interface Running {
  readonly child: ChildProcess;
  readonly mark: string;
  readonly ended: Promise<number | string>;
  said(): string;
}

async function start(
  scratch: Scratch,
  code: string,
  command: readonly string[] = [BINARY, "run", "--quiet", "--no-run-directory"],
): Promise<Running> {
  const mark = randomUUID();
  await writeFile(scratch.path("flow.ts"), code);
  const [file = "", ...args] = command;
  const child = spawn(file, [...args, "flow.ts"], {
    cwd: scratch.folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...markedEnvironment(mark), TENDRIL_BIN: BINARY },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes) => said += String(bytes));
  }
  const { promise: ended, resolve } = Promise.withResolvers<number | string>();
  child.once("exit", (code, signal) => resolve(code ?? signal ?? ""));
  return { child, mark, ended, said: () => said };
}

const HEAD = `import { app, joinApp, load, shellApp } from "tendril";\n`;

const SMALL = `${HEAD}
await using flow = await load({ workers: 1 });
const add = app((a: number, b: number) => a + b);
const fib = joinApp((n: number) => n < 2 ? add(n, 0) : add(fib(n - 1), fib(n - 2)));
const say = shellApp((text: string) => \`printf %s \${text} > out\`, { outputs: { out: "out" } });
const read = app((path: string) => import("node:fs").then((fs) => fs.readFileSync(path, "utf8")));
console.log("fib", await fib(5), await read(say("hello").outputs.out), add.appName, fib.appName);
`;

const RUNTIMES: readonly (readonly [string, readonly string[]])[] = [
  ["tendril run", [BINARY, "run", "--quiet", "--no-run-directory"]],
  ["bun", ["bun"]],
  ["deno", ["deno", "run", "-A", "--no-check"]],
];

test.each(RUNTIMES)("A flow runs under %s, and its apps have names", async (_, command) => {
  await using scratch = await Scratch.open();
  execFileSync(BINARY, ["init", scratch.path("init")], { stdio: "pipe" });
  for (const name of ["tendril.mjs", "tendril.d.ts", "deno.json", "tsconfig.json"]) {
    execFileSync("cp", [scratch.path("init", name), scratch.folder]);
  }
  const running = await start(scratch, SMALL, command);
  expect([await running.ended, running.said()]).toEqual([
    0,
    expect.stringContaining("fib 5 hello add fib\n"),
  ]);
}, 60_000);

test("An interrupt ends a flow of running calls, their processes, and the script", async () => {
  await using scratch = await Scratch.open();
  const running = await start(
    scratch,
    `${HEAD}
await using flow = await load({ workers: { count: 2, cores: 1 } });
const nap = shellApp(() => "(setsid sleep 600 &) ; sleep 600 & trap '' INT TERM; sleep 600; sleep 600");
const after = app((value: unknown) => value);
await after([nap(), nap(), new Promise(() => {})]);
`,
  );
  await until(
    () => processesOf(running.mark).filter((line) => line.includes("sleep 600")).length >= 6,
    "calls run",
  );
  running.child.kill("SIGINT");
  expect([await running.ended, running.said()]).toEqual([
    130,
    expect.stringContaining("tendril: ending; interrupt once more"),
  ]);
  await untilGone(running.mark);
}, 60_000);

test(
  "An uncaught error of a script tells for what its flow waits, and an interrupt ends that",
  async () => {
    await using scratch = await Scratch.open();
    const running = await start(
      scratch,
      `${HEAD}
await using flow = await load({ workers: 1 });
const gate = Promise.withResolvers<number>();
const add = app((a: number, b: number) => a + b);
add(1, gate.promise);
throw new Error("the script is broken");
`,
    );
    await until(() => running.said().includes("waiting for"), "it tells");
    expect(running.said()).toContain(
      "tendril: waiting for 1 call of the flow, which wait for promises of the script; interrupt to " +
        'cancel, or load({ exit: "cancel" })\n',
    );
    running.child.kill("SIGINT");
    expect(await running.ended).toBe(130);
  },
  60_000,
);

test("A failure that nobody caught is shown once and shortly, with the remote stack", async () => {
  await using scratch = await Scratch.open();
  const running = await start(
    scratch,
    `${HEAD}
await using flow = await load({ workers: 1 });
const parse = app((text: string) => { throw new RangeError("no number: " + text); });
const twice = app((n: number) => 2 * n);
twice(parse("other"));
await twice(parse("x".repeat(500)));
`,
  );
  const code = await running.ended;
  const said = running.said();
  expect([code, said.split("no number: xxx").length - 1]).toEqual([1, 2]);
  expect(said).toMatch(
    /DependencyError: Cannot run call \d+, twice\(parse#(\d+)\): it depends on call \1, parse\("xx/,
  );
  expect(said).toMatch(/failed as call_error \(worker \S+ on \S+\): RangeError: no number/);
  expect(said).toContain("at parse (");
  expect(said).toMatch(/tendril: 1 call failed that nobody awaited; the first one: Call 1, parse/);
  expect(said.length).toBeLessThan(4_000);
}, 60_000);

test("A script is no success when a call failed that nobody awaited", async () => {
  await using scratch = await Scratch.open();
  const running = await start(
    scratch,
    `${HEAD}
await using flow = await load({ workers: 1 });
app((n: number) => { throw new Error("no " + n); })(7);
console.log("said");
`,
  );
  expect(await running.ended).toBe(1);
  expect(running.said()).toMatch(/^said\n/);
  expect(running.said()).toContain("1 call failed that nobody awaited; the first one: Call 1");
}, 60_000);
