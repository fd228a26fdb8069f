import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { Manager } from "../../manager/manager.ts";
import { mergeOptions, readConfigFile } from "../../manager/config_file.ts";

/** A folder with one file, removed at the end. */
class ConfigFile implements Disposable {
  readonly path: string;
  readonly #directory = mkdtempSync(join(tmpdir(), "tendril-test-"));

  constructor(name: string, text: string) {
    this.path = join(this.#directory, name);
    writeFileSync(this.path, text);
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}

const TOML = `
name = "oak"
workers = 0

[policies]
replicas = 2
temp-replica-count = 3
workerTimeout = "40s"
`;

test("readConfigFile() reads TOML and JSON alike", () => {
  using toml = new ConfigFile("a.toml", TOML);
  const policies = { replicas: 2, "temp-replica-count": 3, workerTimeout: "40s" };
  const wanted = { name: "oak", workers: 0, policies };
  using json = new ConfigFile("a.json", JSON.stringify(wanted));
  expect(readConfigFile(toml.path)).toEqual(wanted as never);
  expect(readConfigFile(json.path)).toEqual(wanted as never);
});

test("readConfigFile() says what is wrong with a file, on one line", () => {
  using toml = new ConfigFile("a.toml", "replicas = \n");
  using list = new ConfigFile("a.json", "[]");
  using yaml = new ConfigFile("a.yaml", "replicas: 2");
  using chain = new ConfigFile("b.toml", 'config = "a.toml"');
  const messageOf = (path: string): string => {
    try {
      readConfigFile(path);
      return "";
    } catch (error) {
      return String(error);
    }
  };
  const [bad, ...more] = messageOf(toml.path).split("\n");
  expect([bad?.startsWith(`RangeError: Cannot read "${toml.path}" as TOML: `), more]).toEqual([
    true,
    [],
  ]);
  expect(messageOf(list.path)).toContain("expected options by name");
  expect(messageOf(yaml.path)).toContain("expected .toml or .json");
  expect(messageOf(chain.path)).toContain("a configuration names no other one");
  expect(messageOf("/nowhere/a.toml")).toContain('Cannot read "/nowhere/a.toml" as TOML');
});

test("mergeOptions() takes each option, policy and record from the first that states it", () => {
  const merged = mergeOptions(
    { name: "oak", policies: { replicas: 2 }, records: { logs: true } },
    { name: "elm", workers: 1, policies: { replicas: 3, recovery: "off" } },
    { workers: 4, runDirectory: "runs", records: { logs: false, outputs: false } },
  );
  expect(merged).toEqual({
    name: "oak",
    workers: 1,
    runDirectory: "runs",
    records: { logs: true, outputs: false },
    policies: { replicas: 2, recovery: "off" },
  });
});

test("Manager.start() takes what its configuration states and its script does not", async () => {
  using toml = new ConfigFile("a.toml", TOML);
  await using manager = await Manager.start({ config: toml.path });
  expect(manager.name).toBe("oak");
  using wrong = new ConfigFile("b.toml", "wokers = 2");
  await expect(Manager.start({ config: wrong.path })).rejects.toThrow('"wokers"');
});
