import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { WorkerLog } from "../../worker/log.ts";

test("WorkerLog cuts what others say, and takes from it what moves a cursor", () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-test-"));
  try {
    const said: string[] = [];
    const log = new WorkerLog(folder, (line) => said.push(line));
    log.write("task_failed", {
      message: `\x1b[2Jgone\nworker: all is well${"x".repeat(5000)}`,
      try: 1,
    });
    const [line = ""] = said;
    expect(line).toStartWith("worker: task failed message=[2Jgone worker: all is wellxxx");
    expect(line.length).toBeLessThan(1100);
    const [written = "", ...more] = readFileSync(join(folder, "worker.log"), "utf8").split("\n");
    expect(more).toEqual([""]);
    expect(written.length).toBeLessThan(1200);
    expect(JSON.parse(written)).toMatchObject({ event: "task_failed", try: 1 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
