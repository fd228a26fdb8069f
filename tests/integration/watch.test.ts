/** What running tasks write, seen while they run. */

import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";

import { type Fact, Manager, type TaskHandle } from "../../mod.ts";
import { Scratch, type ScratchWorker, until } from "./scratch.ts";

/** Shell that goes on once the file `path` is there. */
function waitFor(path: string): string {
  return `while [ ! -e '${path}' ]; do sleep 0.02; done`;
}

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** Waits until the task has done what makes the file `path`. */
async function untilThere(path: string): Promise<void> {
  await until(() => existsSync(path), `"${path}" is there`);
}

/** Collects what is followed. */
function collect(task: TaskHandle, what: string): { text: string; readonly ended: Promise<void> } {
  const found = { text: "", ended: Promise.resolve() };
  const run = async () => {
    for await (const text of task.follow(what)) found.text += text;
  };
  found.ended = run();
  return found;
}

test("A watched output is seen in its file while its task runs, and is whole at the end", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const [results, go] = [scratch.path("out/results.csv"), scratch.path("go")];
  const task = manager.submit({
    command: `echo a >> r; ${waitFor(go)}; echo b >> r; ${waitFor(`${go}2`)}; echo c >> r`,
    outputs: { r: { file: manager.file(results), watch: true } },
  });
  await until(() => read(results) === "a\n", "the first line is seen");
  const { ino } = statSync(results);
  writeFileSync(go, "");
  await until(() => read(results) === "a\nb\n", "the second line is seen");
  // Appended in place, as `tail -f` has it open.
  expect(statSync(results).ino).toBe(ino);
  writeFileSync(`${go}2`, "");
  expect(await task).toMatchObject({ outcome: "success" });
  expect(read(results)).toBe("a\nb\nc\n");
});

test("A watched file is emptied when a try starts, and what a failed one wrote stays", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const [results, tries] = [scratch.path("results"), scratch.path("tries")];
  writeFileSync(results, "of an earlier run\n");
  const failing = manager.submit({
    command: `echo t >> ${tries}; n=$(wc -l < ${tries}); echo try $n > r; ` +
      `while [ "$(cat ${results})" != "try $n" ]; do sleep 0.02; done; exit 3`,
    outputs: { r: { file: manager.file(results), watch: true } },
    retries: 1,
  });
  expect(await failing).toMatchObject({ outcome: "exit", try: 2 });
  expect(read(tries)).toBe("t\nt\n");
  expect(read(results)).toBe("try 2\n");
});

test("A watched buffer is seen while its task runs", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const go = scratch.path("go");
  const log = manager.buffer();
  const seen = async () => new TextDecoder().decode(await log.seen());
  const task = manager.submit({
    command: `echo a >> log; ${waitFor(go)}; echo b >> log`,
    outputs: { log: { file: log, watch: true } },
  });
  expect(await seen()).toBe("");
  await until(async () => await seen() === "a\n", "the first line is seen");
  writeFileSync(go, "");
  await task.orThrow();
  expect([await log.text(), await seen()]).toEqual(["a\nb\n", "a\nb\n"]);
});

/** What a task does to its watched file `r` after "first" was seen of it. */
const SPOILT = {
  "is cut short": (_secret: string) => ": > r; echo new > r",
  "is replaced": (_secret: string) => "echo 'other and longer' > q; mv q r",
  "becomes a link out of the sandbox": (secret: string) => `ln -sf ${secret} r`,
  "becomes a FIFO": (_secret: string) => "rm r; mkfifo r",
  "is removed": (_secret: string) => "rm r",
};

for (const [what, spoil] of Object.entries(SPOILT)) {
  test(`A watched file that ${what} is watched no more, and its task goes on`, async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const [results, go, secret] = ["results", "go", "secret"].map((name) => scratch.path(name));
    writeFileSync(secret!, "a secret that is longer than what was seen\n");
    const task = manager.submit({
      command: `echo first > r; ${waitFor(go!)}; ${spoil(secret!)}; ${waitFor(`${go}2`)}; ` +
        "rm -f r; echo last > r",
      outputs: { r: { file: manager.file(results!), watch: true } },
    });
    const followed = collect(task, "r");
    await until(() => read(results!) === "first\n", "the first line is seen");
    writeFileSync(go!, "");
    await until(() => followed.text.includes("not followed any more"), "the watch is over");
    expect(read(results!)).toBe("first\n");
    expect(followed.text).not.toContain("secret");
    writeFileSync(`${go}2`, "");
    expect(await task).toMatchObject({ outcome: "success" });
    expect(read(results!)).toBe("last\n");
  });
}

/** What a task has at its mount from the start that is not to be read. */
const STRANGE = {
  "a link out of the sandbox": (secret: string) => `ln -s ${secret} r`,
  "a file below a link out of the sandbox": (secret: string) =>
    `rm -rf d; ln -s $(dirname ${secret}) d`,
  "a FIFO": (_secret: string) => "mkfifo r",
};

for (const [what, make] of Object.entries(STRANGE)) {
  test(`follow() reads nothing of an output that is ${what}`, async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const [go, secret] = [scratch.path("go"), scratch.path("secret")];
    writeFileSync(secret, "a secret\n");
    const task = manager.submit({
      command: `${make(secret)}; ${waitFor(go)}; exit 1`,
      outputs: { r: manager.temp(), "d/secret": manager.temp() },
    });
    const followed = collect(task, what.includes("below") ? "d/secret" : "r");
    await until(() => followed.text.includes("not followed any more"), "the watch is over");
    writeFileSync(go, "");
    await followed.ended;
    expect(followed.text).toBe("[… not followed any more: it is no regular file]\n");
  });
}

test("follow() gives both streams as they come, waits for the start and ends with the task", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const go = scratch.path("go");
  const task = manager.submit({
    command: `printf 'h\\303'; echo err >&2; ${waitFor(go)}; printf '\\244llo\\n'`,
  });
  const [out, err] = [collect(task, "stdout"), collect(task, "stderr")];
  await scratch.worker(manager);
  await until(() => out.text === "h" && err.text === "err\n", "what it wrote first is seen");
  writeFileSync(go, "");
  await Promise.all([out.ended, err.ended]);
  expect([out.text, err.text]).toEqual(["hällo\n", "err\n"]);
  // Once more, of the task that has ended.
  const late = collect(task, "stdout");
  await late.ended;
  expect(late.text).toBe("hällo\n");
});

test("follow() goes on after a try that failed, and says so", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const task = manager.submit({
    command: `echo here; mkdir ${scratch.path("d")} 2>/dev/null && exit 1; exit 0`,
    retries: 1,
  });
  const { result, text } = { text: collect(task, "stdout"), result: await task };
  await text.ended;
  expect(result).toMatchObject({ outcome: "success", try: 2 });
  // A try that ends in the turn in which it starts is not told of before its end.
  expect(text.text).toMatch(/^(here\n\[… try 2\]\n)?here\n$/);
});

test("follow() that joins late is given the end of what was written, then the rest", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const [done, go] = [scratch.path("done"), scratch.path("go")];
  const task = manager.submit({
    command: `seq 1 1000000; touch ${done}; ${waitFor(go)}; echo last`,
  });
  await untilThere(done);
  const late = collect(task, "stdout");
  await until(() => late.text.endsWith("1000000\n"), "the end is seen");
  writeFileSync(go, "");
  await late.ended;
  const size = 6_888_896;
  expect(late.text).toStartWith(`[… ${size - 65_536} bytes skipped]\n`);
  expect(late.text.length).toBe(late.text.indexOf("\n") + 1 + 65_536 + "last\n".length);
  expect(late.text).toEndWith("\n999999\n1000000\nlast\n");
});

test("A follower that reads nothing while 100 MB are written holds neither them nor the task", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager);
  const [begun, done, go] = [scratch.path("begun"), scratch.path("done"), scratch.path("go")];
  const task = manager.submit({
    command: `echo begin; ${waitFor(begun)}; yes 0123456789 | head -c 104857600; touch ${done}; ` +
      `${waitFor(go)}; echo end`,
  });
  const texts = task.follow("stdout");
  expect((await texts.next()).value).toBe("begin\n");
  const before = { manager: process.memoryUsage().rss, worker: residentBytes(worker) };
  writeFileSync(begun, "");
  await untilThere(done);
  writeFileSync(go, "");
  expect(await task).toMatchObject({ outcome: "success" });
  expect(process.memoryUsage().rss - before.manager).toBeLessThan(64 * 2 ** 20);
  expect(residentBytes(worker) - before.worker).toBeLessThan(64 * 2 ** 20);
  let rest = "";
  for await (const text of texts) rest += text;
  expect(rest).toMatch(/\[… \d+ bytes skipped\]\n/);
  expect(rest).toEndWith("end\n");
  expect(rest.length).toBeLessThan(1024 * 1024);
});

test("A try on another worker is watched anew after its worker was lost", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  const facts: Fact[] = [];
  manager.subscribe((more) => facts.push(...more));
  const [results, go] = [scratch.path("results"), scratch.path("go")];
  const first = await scratch.worker(manager, { env: { WHERE: "first" } });
  const task = manager.submit({
    command: `echo on $WHERE | tee -a r; ${waitFor(go)}; echo end >> r`,
    outputs: { r: { file: manager.file(results), watch: true } },
  });
  const followed = collect(task, "stdout");
  await until(() => read(results) === "on first\n" && followed.text !== "", "it is seen");
  first.child.kill("SIGKILL");
  await scratch.worker(manager, { env: { WHERE: "second" } });
  await until(() => read(results) === "on second\n", "the second try is seen");
  await until(() => followed.text.includes("second"), "the second try is followed");
  writeFileSync(go, "");
  await task.orThrow();
  await followed.ended;
  expect(read(results)).toBe("on second\nend\n");
  expect(followed.text).toBe("on first\n[… try 2]\non second\n");
});

function residentBytes({ child }: ScratchWorker): number {
  const pages = Number(readFileSync(`/proc/${child.pid}/statm`, "utf8").split(" ")[1]);
  return pages * 4096;
}

for (const only of ["success", "failure"] as const) {
  for (const exitCode of [0, 1]) {
    const comes = (only === "success") === (exitCode === 0);
    test(`An output only of ${only} ${comes ? "comes" : "does not come"} with exit code ${exitCode}`, async () => {
      await using scratch = await Scratch.open();
      await using manager = await Manager.start();
      await scratch.worker(manager);
      const [path, tries] = [scratch.path("out"), scratch.path("tries")];
      const log = manager.buffer();
      const large = manager.file(path);
      const result = await manager.submit({
        command: `echo t >> ${tries}; wc -l < ${tries} > log; head -c 200000 /dev/zero > large; ` +
          `echo made > always; exit ${exitCode}`,
        outputs: {
          log: { file: log, only },
          large: { file: large, only },
          always: manager.temp(),
          never: { file: manager.buffer(), only: "failure" },
        },
        retries: 1,
      });
      expect(result).toMatchObject({ exitCode, outcome: exitCode === 0 ? "success" : "exit" });
      expect(existsSync(path)).toBe(comes);
      if (comes) {
        expect(statSync(path).size).toBe(200_000);
        // Of the last try.
        expect(Number(await log.text())).toBe(exitCode === 0 ? 1 : 2);
      } else {
        await expect(log.contents()).rejects.toThrow(exitCode === 0 ? "it succeeded" : "exit");
      }
    });
  }
}

test("An output of a failure comes of a try that was stopped at its timeout", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const log = manager.buffer();
  const result = await manager.submit({
    command: "echo so far > log; sleep 600",
    outputs: { log: { file: log, only: "failure" } },
    timeout: "2s",
  });
  expect(result.outcome).toBe("timeout");
  expect(await log.text()).toBe("so far\n");
});

test("An input as a symlink is one link, and what is below it stays what it was", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const tree = scratch.path("tree");
  for (let index = 0; index < 10; index++) {
    mkdirSync(`${tree}/${index}`, { recursive: true });
    for (let file = 0; file < 40; file++) writeFileSync(`${tree}/${index}/${file}`, `${file}\n`);
  }
  const small = scratch.path("small");
  writeFileSync(small, "small\n");
  const inputs = {
    big: { file: manager.file(tree), symlink: true },
    "in/small": { file: manager.file(small), symlink: true },
    plain: manager.file(small),
  };
  const look = "test -L big && test -L in/small && ! test -L plain && cat in/small && " +
    "find -L big -type f | wc -l";
  expect(await manager.submit({ command: look, inputs })).toMatchObject({
    outcome: "success",
    stdout: "small\n400\n",
  });
  const spoil = await manager.submit({ command: "chmod u+w big/0; echo x > big/0/new", inputs });
  expect(spoil).toMatchObject({ outcome: "input_modified", mount: "big" });
  expect(await manager.submit({ command: look, inputs })).toMatchObject({ outcome: "success" });
});
