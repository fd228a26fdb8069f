/** Results of flows that outlive their managers with real workers, or are made again. */

import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

import {
  app,
  type File,
  type Flow,
  joinApp,
  load,
  Manager,
  type ManagerOptions,
  shellApp,
} from "../../mod.ts";
import { Scratch } from "./scratch.ts";

const NAME = "remembering";

/** Apps that note each of their runs, by name. */
function appsOf(scratch: Scratch) {
  const log = scratch.path("runs");
  const note = (name: string) => `echo ${name} >> ${log}`;
  return {
    large: app(async (path: string, count: number) => {
      const { appendFile } = await import("node:fs/promises");
      await appendFile(path, "large\n");
      return { text: "x".repeat(count), count };
    }, { name: "large" }),
    file: shellApp((n: number) => `${note("file")}; seq 1 ${n} > out`, {
      outputs: { out: "out" },
      name: "file",
    }),
    tree: shellApp((from: File) => `${note("tree")}; mkdir -p tree/sub; cp ${from} tree/sub/data`, {
      outputs: { tree: "tree" },
      name: "tree",
    }),
    /** Another one each time, by its label in the command. */
    last: shellApp(
      (tree: File, run: number) => `${note("last")}; tail -n 1 ${tree}/sub/data; : ${run}`,
      {
        name: "last",
      },
    ),
    length: app((value: { text: string }, run: number) => value.text.length + run, {
      name: "length",
    }),
    log,
    ran: () => existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").sort().join(" ") : "",
  };
}

/** A flow of its own manager, which others follow with the same memory. */
async function inFlow<T>(
  scratch: Scratch,
  options: ManagerOptions,
  run: (flow: Flow, manager: Manager) => Promise<T>,
): Promise<T> {
  await using manager = await Manager.start(options);
  await using flow = await load({
    manager,
    checkpoint: "task_exit",
    memoFile: scratch.path("memo.db"),
  });
  return await run(flow, manager);
}

test(
  "Large values, files and directories are used in a later run where a worker has them still",
  async () => {
    await using scratch = await Scratch.open();
    const { large, file, tree, last, length, log, ran } = appsOf(scratch);
    const options = { name: NAME, policies: { reconnectGrace: "500ms" } } as const;
    const made = () => ({
      value: large(log, 2_000_000),
      files: tree(file(200_000).outputs.out as never),
    });
    await inFlow(scratch, options, async (_, manager) => {
      await scratch.worker(manager, { name: NAME, args: ["--idle-timeout", "30s"] });
      const { value, files } = made();
      expect(await length(value, 1)).toBe(2_000_001);
      expect((await last(files.outputs.tree as never, 1)).stdout.trim()).toBe("200000");
    });
    expect(ran()).toBe("file large last tree");
    await inFlow(scratch, options, async (_, manager) => {
      const { value, files } = made();
      expect(await length(value, 2)).toBe(2_000_002);
      expect((await last(files.outputs.tree as never, 2)).stdout.trim()).toBe("200000");
      expect([value.state, files.state]).toEqual(["memo_done", "memo_done"]);
      expect(manager.status().bytes.managerToWorker).toBeLessThan(3_000_000);
      expect((await value).count).toBe(2_000_000);
    });
    expect(ran()).toBe("file large last last tree");
  },
  60_000,
);

test(
  "What went with its workers is made again, once, with what it was made of, when it is needed",
  async () => {
    await using scratch = await Scratch.open();
    const { large, file, tree, last, length, log, ran } = appsOf(scratch);
    // Nobody is waited for: a manager's own workers go with it.
    const options = {
      workers: { count: 1, cores: 2 },
      policies: { reconnectGrace: "5m" },
    } as const;
    const made = () => ({
      value: large(log, 2_000_000),
      files: tree(file(200_000).outputs.out as never),
    });
    const run = (first: number) =>
      inFlow(scratch, options, async () => {
        const { value, files } = made();
        await Promise.all([value.then(() => {}), files]);
        if (first === 0) return [value.state, files.state];
        // Within what a join gives, by get(), and from several calls at once.
        const joined = joinApp(() => [value, files.outputs.tree] as const, { name: "both" })();
        const numbers = [1, 2, 3].map((n) => length(joined.get(0 as never) as never, n + first));
        const text = last(joined.get(1 as never) as never, first);
        expect(await Promise.all(numbers)).toEqual([1, 2, 3].map((n) => 2_000_000 + n + first));
        expect((await text).stdout.trim()).toBe("200000");
        expect(await value.get("count")).toBe(2_000_000);
        return [value.state, files.state];
      });
    expect(await run(0)).toEqual(["exec_done", "exec_done"]);
    expect(ran()).toBe("file large tree");
    // Nobody has read them.
    writeFileSync(log, "");
    expect(await run(1)).toEqual(["memo_done", "memo_done"]);
    expect(ran()).toBe("file large last tree");
    writeFileSync(log, "");
    // All that was asked for is small, and remembered.
    await inFlow(scratch, options, async () => {
      const { value, files } = made();
      expect((await last(files.outputs.tree as never, 1)).stdout.trim()).toBe("200000");
      expect(await length(value, 2)).toBe(2_000_002);
    });
    expect(ran()).toBe("");
  },
  20_000,
);

test(
  "A file that comes out otherwise when it is made again makes other calls of its readers",
  async () => {
    await using scratch = await Scratch.open();
    const log = scratch.path("runs");
    writeFileSync(scratch.path("now"), "one\n");
    const make = shellApp(() => `cp ${scratch.path("now")} out`, {
      outputs: { out: "out" },
      name: "make",
    });
    const read = shellApp((file: File, n: number) => `echo ${n} >> ${log}; cat ${file}`, {
      name: "read",
    });
    const options = { workers: 1 } as const;
    const run = (n: number) =>
      inFlow(scratch, options, async () => (await read(make().outputs.out as never, n)).stdout);
    expect(await run(1)).toBe("one\n");
    // In a file that nobody knew of: no key could tell.
    writeFileSync(scratch.path("now"), "two\n");
    expect(await run(1)).toBe("one\n");
    expect(await run(2)).toBe("two\n");
    // What was read of the second one is no result of the first one.
    expect(await run(1)).toBe("two\n");
    expect(await run(2)).toBe("two\n");
    expect(readFileSync(log, "utf8")).toBe("1\n2\n1\n");
  },
  30_000,
);
