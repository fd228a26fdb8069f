import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { WorkerLog } from "../../worker/log.ts";

test("WorkerLog cuts what others say, and takes from it what moves a cursor", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-test-"));
  try {
    const said: string[] = [];
    const path = join(folder, "worker.log");
    const log = new WorkerLog({ path, level: "info", say: (line) => void said.push(line) });
    log.write("warn", "task_failed", {
      message: `\x1b[2Jgone\nworker: all is well${"x".repeat(5000)}`,
      try: 1,
    });
    log.write("debug", "try_started", { task: 1 });
    await log.close();
    const [line = ""] = said;
    expect(line).toStartWith("worker: task failed message=[2Jgone worker: all is wellxxx");
    expect(line.length).toBeLessThan(1100);
    const [written = "", ...more] = readFileSync(path, "utf8").split("\n");
    expect(more).toEqual([""]);
    expect(written.length).toBeLessThan(1200);
    expect(JSON.parse(written)).toMatchObject({
      level: "warn",
      event: "task_failed",
      try: 1,
    });
    expect(said.length).toBe(1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
