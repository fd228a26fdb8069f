import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { app, pythonApp, shellApp } from "../../../manager/dataflow/app.ts";
import { File } from "../../../manager/dataflow/file.ts";
import type { AppFuture } from "../../../manager/dataflow/future.ts";
import { memoKey } from "../../../manager/dataflow/memo_key.ts";
import { SHALLOW_RESOLVER } from "../../../manager/dataflow/dependency.ts";
import { AUTO } from "../../../manager/dataflow/stream_option.ts";
import { PlacedFile } from "../../../manager/dataflow/placed_file.ts";
import type { FlowOptions } from "../../../manager/dataflow/flow_options.ts";
import { answeringFlow, done } from "./answering_executor.ts";
import { errorOf } from "./kernel_fixture.ts";

/** Keys of calls, and a folder for their files. */
class Keys implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "tendril-parts-"));
  readonly #keys: string[] = [];
  #close: () => Promise<void> = () => Promise.resolve();

  static async open(options: FlowOptions = {}): Promise<Keys> {
    const keys = new Keys();
    const made = join(keys.folder, "made");
    const { flow } = await answeringFlow(
      ({ outputs }) => {
        const files = Object.keys(outputs).map((
          name,
        ) => [name, new PlacedFile({ kind: "path", path: made })]);
        return done({ stdout: "text" }, Object.fromEntries(files));
      },
      {
        ...options,
        memoKey: async (parts) => {
          const key = await memoKey(parts);
          keys.#keys.push(key);
          return key;
        },
      },
    );
    keys.#close = () => flow.close();
    return keys;
  }

  path(name: string, text?: string): string {
    const path = join(this.folder, name);
    if (text !== undefined) {
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, text);
    }
    return path;
  }

  file(name: string, text?: string): File {
    return new File(this.path(name, text));
  }

  /** The key of that call. */
  async of(future: AppFuture<unknown, string>): Promise<string> {
    await future.catch(() => {
      // What cannot be brought has a key all the same.
    });
    return this.#keys.at(-1) ?? "none";
  }

  /** In how many ways the keys of those calls differ. */
  async ways(...futures: (() => AppFuture<unknown, string>)[]): Promise<number> {
    const keys = new Set<string>();
    for (const make of futures) keys.add(await this.of(make()));
    return keys.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

test("keys depend on the code of a function and its context", async () => {
  await using keys = await Keys.open();
  const name = "f";
  const one = app((n: number) => n + 1, { name });
  const same = app((n: number) => n + 1, { name });
  const other = app((n: number) => n + 2, { name });
  const rate = 1;
  const scale = (n: number): number => n * rate;
  const scaled = (context: Record<string, unknown>) =>
    app((n: number) => scale(n), { name, context: { scale, rate, ...context } });
  expect(await keys.ways(() => one(1), () => same(1))).toBe(1);
  expect(await keys.ways(() => one(1), () => other(1), () => one(2))).toBe(3);
  expect(await keys.ways(() => scaled({})(1), () => scaled({ rate: 1 })(1))).toBe(1);
  const double = (n: number): number => n * 2;
  expect(
    await keys.ways(
      () => scaled({})(1),
      () => scaled({ rate: 2 })(1),
      () => scaled({ scale: double })(1),
    ),
  ).toBe(3);
});

test("keys depend on the text of modules, of what they import, and of Python", async () => {
  await using keys = await Keys.open();
  const module = keys.path("main.ts", 'export { run } from "./part.ts";\n');
  keys.path("part.ts", "export const run = () => 1;\n");
  const python = keys.path("stats.py", "def run():\n    return 1\n");
  const calls = [
    () => app(module, "run")(),
    () => pythonApp(python, "run")(),
    () => pythonApp("def run():\n    return 1\n", "run")(),
  ];
  const first: string[] = [];
  for (const call of calls) first.push(await keys.of(call()));
  for (const [index, call] of calls.entries()) expect(await keys.of(call())).toBe(first[index]!);
  keys.path("part.ts", "export const run = () => 2;\n");
  keys.path("stats.py", "def run():\n    return 2\n");
  const later: string[] = [];
  for (const call of calls) later.push(await keys.of(call()));
  expect(later.map((key, index) => key === first[index])).toEqual([false, false, true]);
});

test("keys take values of futures and promises by what they are", async () => {
  await using keys = await Keys.open();
  const give = app((n: number) => n, { name: "give" });
  const take = app((x: unknown) => x, { name: "take" });
  const value = { stdout: "text" };
  expect(
    await keys.ways(
      () => take([value]),
      () => take([give(1)]),
      () => take([give(2)]),
      () => take([Promise.resolve(value)]),
      () => take([Promise.resolve(value)]),
    ),
  ).toBe(1);
  expect(await keys.ways(() => take("text"), () => take(give(1).get("stdout" as never)))).toBe(1);
});

test("keys take files by their contents, wherever they are", async () => {
  await using keys = await Keys.open();
  keys.path("made", "made");
  const count = app((x: unknown) => x, { name: "count" });
  const make = shellApp((n: number) => `make ${n}`, { outputs: { out: "out" }, name: "make" });
  const a = keys.file("a/data", "text");
  const b = keys.file("b/data", "text");
  const wait = (file: File) => shellApp((given: File) => `wc ${given}`, { name: "wc" })(file);
  expect(await keys.ways(() => count(a), () => count(b), () => count(Promise.resolve(a)))).toBe(1);
  expect(await keys.ways(() => wait(a), () => wait(b))).toBe(1);
  expect(
    await keys.ways(
      () => count(keys.file("made")),
      () => count(make(1).outputs.out),
      () => count(make(2).outputs.out),
    ),
  ).toBe(1);
  const before = await keys.of(count(a));
  keys.path("a/data", "else");
  expect(await keys.of(count(a))).not.toBe(before);
  chmodSync(keys.path("b/data"), 0o755);
  expect(await keys.of(count(b))).not.toBe(before);
  const tree = keys.file("b");
  const whole = await keys.of(count(tree));
  expect(await keys.of(count(tree))).toBe(whole);
  keys.path("b/more/empty", "");
  expect(await keys.of(count(tree))).not.toBe(whole);
  const zip = new File(`zip:${keys.path("all.zip", "zip")}/member`);
  const other = new File(`zip:${keys.path("all.zip")}/other`);
  expect(await keys.ways(() => count(zip), () => count(other))).toBe(2);
});

test("keys depend on outputs, inputs, variables, archives and named streams", async () => {
  await using keys = await Keys.open();
  keys.path("made", "made");
  const outputs = { out: "out" };
  const run = shellApp((n: number) => `run ${n}`, { outputs, name: "run" });
  const archive = keys.path("tools.tgz", "tools");
  const to = (name: string) => ({ outputs: { out: { to: keys.path(name) } } });
  expect(
    await keys.ways(
      () => run(1),
      () => run.with(to("x"))(1),
      () => run.with(to("y"))(1),
      () => run.with({ env: { A: "1" } })(1),
      () => run.with({ env: { A: "2" } })(1),
      () => run.with({ environment: archive })(1),
      () => run.with({ inputs: { data: keys.file("a", "1") } })(1),
      () => run.with({ inputs: { data: keys.file("b", "2") } })(1),
      () => run.with({ inputs: { other: keys.file("b") } })(1),
      () => run.with({ stdout: keys.path("stdout") })(1),
      () => run.with({ stdout: { path: keys.path("stdout"), append: true } })(1),
    ),
  ).toBe(11);
  const before = await keys.of(run.with({ environment: archive })(1));
  keys.path("tools.tgz", "other tools");
  expect(await keys.of(run.with({ environment: archive })(1))).not.toBe(before);
});

test("keys do not depend on what changes no result", async () => {
  await using keys = await Keys.open();
  const run = shellApp((n: number) => `run ${n}`, { name: "run" });
  const ways = await keys.ways(
    () => run(1),
    () => run.with({ label: "x" })(1),
    () => run.with({ cores: 2, memory: "1GB", gpus: 1 })(1),
    () => run.with({ retries: 3, retryDelay: "1s" })(1),
    () => run.with({ executor: "answering" })(1),
    () => run.with({ timeout: "1m", priority: 3, category: "c" })(1),
    () => run.with({ stdout: AUTO, stderr: AUTO })(1),
  );
  expect(ways).toBe(1);
});

test("ignore leaves arguments out of keys, of functions and of commands", async () => {
  await using keys = await Keys.open();
  const memoize = { ignore: [1] };
  const add = app((a: number, b: number) => a + b, { memoize });
  const run = shellApp((a: string, threads: number) => `run -p ${threads} ${a}`, { memoize });
  const deep = shellApp((a: string, of: { n: number }) => `run ${of.n} ${a}`, { memoize });
  expect(await keys.ways(() => add(1, 2), () => add(1, 3))).toBe(1);
  expect(await keys.ways(() => add(1, 2), () => add(2, 2))).toBe(2);
  expect(await keys.ways(() => run("a", 2), () => run("a", 3))).toBe(1);
  expect(await keys.ways(() => run("a", 2), () => run("b", 2))).toBe(2);
  expect((await errorOf(deep("a", { n: 1 }))).message).toContain(
    'Cannot remember a call of "deep" whatever argument 1 is',
  );
});

test("an own key stands for the arguments, which it is given as values and files", async () => {
  await using _ = await Keys.open({ resolver: SHALLOW_RESOLVER });
  const seen: unknown[] = [];
  const memoize = {
    key: ({ args }: { readonly args: readonly unknown[] }) => {
      seen.push(args);
      return args[1] === "never" ? undefined : String(args[1]);
    },
  };
  const give = app((n: number) => n, { name: "give" });
  const run = shellApp((a: unknown, b: string) => `run ${JSON.stringify(a)} ${b}`, { memoize });
  const fn = app((a: unknown, b: string) => [a, b], { memoize, name: "fn" });
  for (const one of [run, fn]) {
    const first = one(give(1), "k");
    const second = one(7, "k");
    const other = one(7, "l");
    await Promise.all([first, second, other]);
    expect([first.tryCount + second.tryCount, other.tryCount]).toEqual([1, 1]);
    expect([await one(1, "never"), await one(1, "never")]).toHaveLength(2);
  }
  expect(seen).toContainEqual([{ stdout: "text" }, "k"]);
});

test("what has no key is said: by the call that asked for it, else on one line", async () => {
  const told: string[] = [];
  const write = process.stderr.write;
  process.stderr.write = ((text: string) => told.push(text) > 0) as typeof write;
  try {
    await using keys = await Keys.open();
    class Own {
      readonly n: number = 1;
    }
    const run = app((x: unknown) => x, { name: "run" });
    const gone = keys.file("gone");
    const asked = run.with({ memoize: true });
    const never = run.with({ memoize: false });
    expect((await errorOf(asked(gone))).message).toContain(`"${gone.path}"`);
    const nested = await errorOf(asked({ deep: [Promise.resolve(new Own())] }));
    expect(nested.message).toContain("deep[0]");
    expect((await run(Promise.resolve(new Own()))) === undefined).toBe(false);
    await run(Promise.resolve(new Own()));
    await never(Promise.resolve(new Own()));
    expect(told.filter((line) => line.includes("is not remembered"))).toHaveLength(1);
  } finally {
    process.stderr.write = write;
  }
});

test("urls are taken by what their server says of them, and refused when that is nothing", async () => {
  await using keys = await Keys.open();
  let headers: Record<string, string> = { etag: '"1"' };
  let asked = 0;
  const server = createServer((request, response) => {
    asked += 1;
    response.writeHead(200, headers).end(request.method === "HEAD" ? "" : "text");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const run = app((x: unknown) => x, { name: "run", memoize: true, staging: "task" });
  const file = (name: string) => new File(`http://u:secret@127.0.0.1:${port}/${name}`);
  try {
    const error = async (name: string) => (await errorOf(run(file(name)))).message;
    expect(await keys.ways(() => run(file("a")), () => run(file("a")))).toBe(1);
    expect(asked).toBe(2);
    headers = {};
    const said = await error("b");
    expect(said).toContain("its server said no ETag and no Last-Modified");
    expect(said).not.toContain("secret");
    headers = { "last-modified": "Tue, 15 Nov 1994 12:45:26 GMT" };
    // What failed is asked again.
    expect(await run(file("b"))).toEqual({ stdout: "text" } as never);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
