import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "@std/path";

import { RunDatabase } from "../../../manager/monitoring/database.ts";
import type { RunRecord } from "../../../manager/monitoring/record.ts";
import { EPOCH_MS, RUN_STARTED } from "./recorded_run.ts";

let folder = "";

beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "tendril-busy-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const note: RunRecord = { kind: "note", noteKind: "test", subject: "", text: "after" };

/**
 * Locks a database for longer than a commit waits, and says when it has. Nobody can tell it when to
 * let go: whoever waits for the database stands still meanwhile.
 */
const WRITER = `
  import { DatabaseSync } from "node:sqlite";
  const db = new DatabaseSync(process.argv.at(-1));
  db.exec("BEGIN EXCLUSIVE");
  process.stdout.write("locked");
  setTimeout(() => db.exec("COMMIT"), 600);
`;

test("RunDatabase waits for somebody else who writes, and goes on", async () => {
  const path = join(folder, "monitoring.db");
  const database = new RunDatabase({ path });
  database.apply(EPOCH_MS, RUN_STARTED);
  const script = join(folder, "writer.mjs");
  writeFileSync(script, WRITER);
  const args = "Deno" in globalThis ? ["run", "-A", script, path] : [script, path];
  const writer = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(writer, "exit");
  await once(writer.stdout!, "data");
  database.apply(EPOCH_MS + 1_000, note);
  database.close();
  await ended;
  const read = new DatabaseSync(path, { readOnly: true });
  expect(read.prepare("SELECT text FROM note").all()).toMatchObject([{ text: "after" }]);
  read.close();
});

test("RunDatabase says at once whose records it holds, and locks nothing while nothing comes", () => {
  const path = join(folder, "monitoring.db");
  const database = new RunDatabase({ path });
  database.apply(EPOCH_MS, RUN_STARTED);
  const other = new DatabaseSync(path);
  expect(other.prepare("SELECT name FROM run").all()).toMatchObject([{ name: "test" }]);
  // As for a question.
  database.write();
  other.exec("BEGIN IMMEDIATE; CREATE TABLE mine (text); COMMIT");
  other.close();
  database.close();
});
