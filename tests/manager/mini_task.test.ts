import { expect, test } from "bun:test";

import { FileStore } from "../../manager/file_store.ts";
import { bufferSpec, tempSpec } from "../../manager/file_options.ts";
import { type MiniTaskOptions, miniTaskSpec, recipeSpec } from "../../manager/mini_task.ts";
import type { FileHandle } from "../../manager/file_handle.ts";
import type { FileOptions } from "../../manager/file_options.ts";

class Files {
  readonly store: FileStore;

  constructor(workflowId = "w") {
    this.store = new FileStore({
      workflowId,
      push: () => {},
      request: () => Promise.resolve(),
      prune: () => Promise.resolve(),
      countReplicas: () => 0,
    });
  }

  buffer(text: string): FileHandle {
    return this.store.declare(bufferSpec(text, {}));
  }

  mini(options: MiniTaskOptions, mount: unknown = "out", file: FileOptions = {}): FileHandle {
    return this.store.declare(miniTaskSpec({ options, mount }, file, this.store));
  }

  async nameOf(handle: FileHandle): Promise<string> {
    const entry = this.store.entryOf(handle, "file");
    this.store.checkInput(entry, "file");
    this.store.useAsInput(entry);
    while (handle.cacheName === undefined && entry.failure === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    return handle.cacheName ?? "";
  }
}

test("miniTaskSpec() refuses what makes no file with one line that says why", () => {
  const files = new Files();
  const data = files.buffer("x");
  const command = "true";
  const cases: readonly [unknown, unknown, string][] = [
    [{}, "out", "without a command"],
    [{ command, outputs: {} }, "out", '"outputs" as an option of miniTask: there are command'],
    [{ command, gpus: 1 }, "out", '"gpus" as an option of miniTask'],
    [{ command, retries: 1 }, "out", '"retries" as an option of miniTask'],
    [{ command }, "../out", "mount of the mini task"],
    [{ command }, 7, "mount of the mini task"],
    [{ command, inputs: { out: data } }, "out/a", 'it is the input "out" too'],
    [{ command, inputs: { in: "path" } }, "out", 'input "in"'],
    [{ command, environment: data }, "out", "as an environment"],
    [{ command, cores: -1 }, "out", "cores of miniTask"],
    [{ command: "x".repeat(2_000_000) }, "out", "give the rest as an input file"],
  ];
  for (const [options, mount, text] of cases) {
    expect(() => files.mini(options as MiniTaskOptions, mount)).toThrow(text);
  }
  expect(() => files.mini({ command }, "out", { cache: "never" as never })).toThrow("cache");
});

test("miniTaskSpec() does not let a file be made of too many others in turn", () => {
  const files = new Files();
  let last = files.mini({ command: "true" });
  const next = (): FileHandle => files.mini({ command: "true", inputs: { last } });
  for (let count = 1; count < 16; count++) last = next();
  expect(next).toThrow("made of 17 others in turn");
});

test("recipeSpec() and miniTaskSpec() keep copies from travelling unless they are told otherwise", () => {
  const files = new Files();
  const entry = files.store.entryOf(files.buffer("x"), "archive");
  expect(recipeSpec("unpack", entry, {}).peerTransfer).toBe(false);
  const spec = (options: FileOptions) =>
    miniTaskSpec({ options: { command: "true" }, mount: "out" }, options, files.store);
  expect([spec({}), spec({ peerTransfer: true })].map(({ peerTransfer }) => peerTransfer))
    .toEqual([false, true]);
});

test("bindRecipe() names a lasting mini task by its definition and its inputs' names", async () => {
  const name = async (
    options: MiniTaskOptions,
    { text = "x", mount = "out", workflowId = "w", cache = "worker" as const } = {},
  ): Promise<string> => {
    const files = new Files(workflowId);
    const inputs = { in: files.buffer(text) };
    return await files.nameOf(files.mini({ inputs, ...options }, mount, { cache }));
  };
  const first = await name({ command: "a" });
  expect(first).toMatch(/^mini-[0-9a-f]{64}$/);
  expect(await name({ command: "a", cores: 4, timeout: "1m" }, { workflowId: "v" })).toBe(first);
  const others = await Promise.all([
    name({ command: "b" }),
    name({ command: "a", env: { A: "1" } }),
    name({ command: "a" }, { text: "y" }),
    name({ command: "a" }, { mount: "put" }),
    name({ command: "a", inputs: {} }),
  ]);
  expect(new Set([first, ...others]).size).toBe(6);
  expect(await name({ command: "a", env: { A: "1", B: "2" } }))
    .toBe(await name({ command: "a", env: { B: "2", A: "1" } }));
});

test("bindRecipe() names a mini task of one workflow for that workflow alone", async () => {
  const names = await Promise.all(["v", "w"].map((workflowId) => {
    const files = new Files(workflowId);
    return files.nameOf(files.mini({ command: "a" }));
  }));
  expect(new Set(names).size).toBe(2);
});

test("checkInput() takes no file made of what is not there, or was given up", () => {
  const files = new Files();
  const { store } = files;
  const temp = store.declare(tempSpec({}));
  const ofTemp = files.mini({ command: "true", inputs: { temp } });
  expect(() => store.checkInput(store.entryOf(ofTemp, "file"), "file")).toThrow("no task makes");
  const data = files.buffer("x");
  const ofData = files.mini({ command: "true", inputs: { data } });
  void store.undeclare(store.entryOf(data, "data"));
  expect(() => store.checkInput(store.entryOf(ofData, "file"), "file")).toThrow(
    "an input of it was undeclared",
  );
});
