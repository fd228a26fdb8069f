import process from "node:process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";
import { afterEach, beforeEach, expect, test } from "bun:test";

import { readCategories, readCategory } from "../../manager/category.ts";
import { readManagerOptions } from "../../manager/config.ts";
import { mergeOptions, readConfigFile } from "../../manager/config_file.ts";
import { Manager } from "../../manager/manager.ts";
import { FakeWorker } from "./fake_worker.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-category-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

test("readCategory() takes amounts as tasks state them, and only what is stated", () => {
  const options = {
    mode: "max_throughput",
    max: { cores: 4, memory: "8GB", disk: 5, gpus: 1 },
    first: { memory: "1GB" },
    maxConcurrent: 40,
  };
  expect(readCategory("blast", options)).toEqual({
    name: "blast",
    mode: "max_throughput",
    max: { cores: 4, memoryBytes: 8e9, diskBytes: 5, gpus: 1 },
    first: { memoryBytes: 1e9 },
    maxConcurrent: 40,
  });
  expect(readCategory("blast", {})).toEqual({ name: "blast" });
});

test("readCategory() says what is wrong, of which category", () => {
  const read = (options: unknown, name: unknown = "blast") => () => readCategory(name, options);
  expect(read({ mode: "most" })).toThrow('Cannot take mode of category "blast" "most" as "fixed"');
  expect(read({ modes: "max" })).toThrow(
    'Cannot take "modes" as an option of category "blast": there are mode, max, min, first',
  );
  expect(read({ max: { ram: 1 } })).toThrow(
    'Cannot take "ram" as an option of max of category "blast": there are cores, memory, disk',
  );
  expect(read({ max: { memory: "much" } })).toThrow('memory of max of category "blast"');
  expect(read({ maxConcurrent: -1 })).toThrow("as a whole number from 0");
  expect(read({ min: { cores: 2 }, max: { cores: 1 } })).toThrow(
    'Cannot take min of category "blast": 2 of cores is more than its max, 1',
  );
  expect(read({ first: { memory: 2 }, max: { memory: 1 } })).toThrow(
    'Cannot take first of category "blast": 2 B of memory is more than its max, 1 B',
  );
  expect(read({ min: { disk: "2GB" }, max: { disk: "1GB" } })).toThrow("2 GB of disk is more than");
  expect(read({}, "")).toThrow('Cannot take name of a category ""');
  expect(read({}, "x".repeat(300))).toThrow("300 characters, of at most 256");
});

test("readCategories() takes them by their names", () => {
  expect(readCategories({ a: { mode: "max" }, b: {} }, "category")).toEqual([
    { name: "a", mode: "max" },
    { name: "b" },
  ]);
  expect(() => readCategories(["max"], "category of Manager.start")).toThrow(
    'Cannot take category of Manager.start "array" as categories: expected them by name',
  );
});

test("readConfigFile() has categories in tables of their own, which a script adds to", async () => {
  const path = join(home, "tendril.toml");
  const text = '[policies]\ncategoryMode = "min_waste"\n\n[category.blast]\nmode = "max"\n' +
    'max = { memory = "8GB" }\n\n[category."other one"]\nmaxConcurrent = 3\n';
  await writeFile(path, text);
  const merged = mergeOptions({ category: { blast: { mode: "fixed" } } }, readConfigFile(path));
  const { categories, policies } = readManagerOptions(merged);
  expect(policies.categoryMode).toBe("min_waste");
  expect(categories.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual([
    { name: "blast", mode: "fixed" },
    { name: "other one", maxConcurrent: 3 },
  ]);
});

test("Manager.category() is in force from the start, and changed here and from afar", async () => {
  const category = { blast: { first: { memory: 1_000 } } };
  await using manager = await Manager.start({ name: "oak", category });
  await using remote = await Manager.connect({ name: "oak" });
  const worker = await FakeWorker.join("oak", { cores: 4 });
  const memoryOf = async () => {
    manager.submit({ command: "true", category: "blast" });
    return (await worker.next("dispatch")).shapes[0]?.resources.memoryBytes;
  };
  expect(await memoryOf()).toBe(1_000);
  manager.category("blast", { max: { memory: 900 } });
  expect(await memoryOf()).toBe(900);
  // What is not said again stays.
  await remote.category("blast", { min: { memory: 800 }, first: { memory: 100 } });
  expect(await memoryOf()).toBe(800);
  expect(() => manager.category("blast", { mode: "most" } as never)).toThrow('"most"');
  await expect(remote.category("blast", { mode: "most" } as never)).rejects.toThrow('"most"');
});
