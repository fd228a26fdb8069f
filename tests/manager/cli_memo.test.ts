import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { MEMO_COMMAND } from "../../manager/cli_memo.ts";
import { SqliteMemoStore } from "../../manager/dataflow/sqlite_memo_store.ts";
import { encodeValue } from "../../shared/value.ts";
import { entryOf, keyOf } from "./dataflow/memo_entries.ts";
import { runCommand } from "./run_command.ts";

let folder = "";
let file = "";

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "tendril-memo-")));
  file = join(folder, "memo.db");
  await using store = await SqliteMemoStore.open({ path: file });
  const kept = { name: "file-x", digest: "", size: 2e9, isDirectory: false, isExecutable: false };
  await store.putAll([
    entryOf(1, {
      call: 'align("a\u001b[2J")',
      value: { kind: "bytes", bytes: encodeValue({ hits: 7n, name: "\u001b[2Jlambda" }) },
    }),
    entryOf(2, { app: "plot", madeAtMs: Date.now(), value: { kind: "kept", file: kept } }),
    entryOf(3, {
      outputs: { sam: { kind: "path", path: "/data/out.sam", digest: "", sizeBytes: 1500 } },
      dependsOn: [keyOf(1)],
    }),
  ]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const memo = (...args: string[]) => runCommand(MEMO_COMMAND, [...args, "--file", file]);

test("MEMO_COMMAND lists results as a table and as JSON, some of them or the newest", async () => {
  const { stdout } = await memo();
  expect(stdout.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
    ["KEY", "APP", "AGE", "RAN", "SIZE", "WHERE", "OUTPUTS", "CALL"],
    [
      keyOf(1).slice(0, 12),
      "align",
      expect.any(String),
      "2.5 ms",
      "25 B",
      "here",
      "0",
      'align("a[2J")',
    ],
    [keyOf(2).slice(0, 12), "plot", expect.any(String), "2.5 ms", "2 GB", "workers", "0"],
    [keyOf(3).slice(0, 12), "align", expect.any(String), "2.5 ms", "17 B", "here", "1"],
    ["3 results, 2 GB"],
    [""],
  ]);
  expect(stdout).not.toContain("\u001b");
  const newest = JSON.parse((await memo("list", "--limit", "1", "--json")).stdout);
  expect(newest).toMatchObject({ version: 1, file, count: 3, entries: [{ key: keyOf(3) }] });
  const some = JSON.parse(
    (await memo("list", "--app", "align", "--key", keyOf(1), "--json")).stdout,
  );
  expect(some).toMatchObject({ count: 1, entries: [{ key: keyOf(1), app: "align" }] });
  expect((await memo("--older-than", "1h", "--limit", "1")).stdout).toContain(
    "2 results, 42 B; the newest 1 are shown",
  );
});

test("MEMO_COMMAND shows a result by the first digits of its key", async () => {
  const { stdout } = await memo("show", keyOf(3).slice(0, 12));
  expect(stdout).toContain(`key: ${keyOf(3)}\napp: align\nmade: 1970-01-01T00:00:01.003Z\n`);
  expect(stdout).toContain("value: { number: 3, text: 'é' }\n");
  expect(stdout).toContain(`output sam: /data/out.sam, 1.5 kB\nused: ${keyOf(1)}\n`);
  expect((await memo("show", keyOf(2))).stdout).toContain("value: file-x, 2 GB, kept by workers");
  const { stdout: shown } = await memo("show", keyOf(1));
  expect(shown).toContain("hits: 7n");
  expect(shown).not.toContain("\u001b");
  const { entry } = JSON.parse((await memo("show", keyOf(1), "--json")).stdout);
  expect(entry).toMatchObject({ app: "align", value: { kind: "bytes", sizeBytes: 25 } });
});

test("MEMO_COMMAND refuses what it cannot make sense of, and makes no file", async () => {
  const refusal = async (...args: string[]) => {
    const error = await memo(...args).catch((error: unknown) => error);
    return error instanceof Error ? error.message : "";
  };
  expect(await refusal("forget")).toContain("without knowing what");
  expect(await refusal("forget", "--all", "--app", "x")).toContain("without knowing what");
  expect(await refusal("forget", "x", "--all")).toContain('Cannot forget "x"');
  expect(await refusal("forget", "--older-than", "soon")).toContain('--older-than "soon"');
  expect(await refusal("list", "--all")).toContain("it is for forget");
  expect(await refusal("list", "--limit", "0")).toContain('--limit "0"');
  expect(await refusal("show")).toContain("expected one key");
  expect(await refusal("show", "abc")).toContain('Cannot read "abc" as a key');
  expect(await refusal("show", "../..")).toContain('Cannot read "../.." as a key');
  expect(await refusal("show", "0".repeat(64))).toContain("no result has such a key");
  expect(await refusal("drop")).toContain('"memo drop"');
  const none = join(folder, "none.db");
  const missing = runCommand(MEMO_COMMAND, ["forget", "--all", "--file", none]);
  await expect(missing).rejects.toThrow(`Cannot open memo file "${none}": there is none`);
  const before = process.cwd();
  process.chdir(folder);
  try {
    const { stdout } = await runCommand(MEMO_COMMAND, ["forget", "--all"]);
    expect([stdout, existsSync("tendril-memo.db")]).toEqual(["forgot 0 results\n", false]);
  } finally {
    process.chdir(before);
  }
});

test("MEMO_COMMAND forgets what all options say, and says how many", async () => {
  expect((await memo("forget", "--app", "plot", "--older-than", "1h")).stdout).toBe(
    "forgot 0 results\n",
  );
  expect((await memo("forget", "--older-than", "1h")).stdout).toBe("forgot 2 results\n");
  expect(JSON.parse((await memo("forget", "--all", "--json")).stdout)).toEqual({
    version: 1,
    file,
    forgotten: 1,
  });
  expect((await memo()).stdout).toContain("0 results, 0 B");
});
