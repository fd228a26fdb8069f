import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { Fact } from "../../manager/core/fact.ts";
import { FailedOutputs, type FailedOutputsOptions } from "../../manager/failed_output.ts";
import { smallDisk } from "../integration/small_disk.ts";

/** A folder for outputs, and what was told of them. */
class OutputFolder implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly path: string = join(this.folder, "outputs");
  readonly told: string[] = [];
  readonly outputs: FailedOutputs;

  constructor(options: Partial<FailedOutputsOptions> = {}) {
    this.outputs = new FailedOutputs({
      runDirectory: { make: () => this.folder, outputsPath: this.path },
      onTrouble: (message) => void this.told.push(message),
      ...options,
    });
  }

  /** Ends a try that wrote these. */
  end(taskId: number, said: { stdout?: string; stderr?: string }, outcome = "exit"): void {
    const [stdout, stderr] = [said.stdout ?? "", said.stderr ?? ""].map((text) =>
      new TextEncoder().encode(text)
    );
    const fact = { kind: "try_ended", taskId, try: 2, workerId: "w1", outcome };
    this.outputs.hear([{ ...fact, result: { stdout, stderr } } as unknown as Fact]);
  }

  names(): string[] {
    return existsSync(this.path) ? readdirSync(this.path).sort() : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.outputs.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

test("FailedOutputs keeps what failed tries wrote, byte by byte, and nothing of others", async () => {
  await using at = new OutputFolder();
  at.end(1, { stdout: "out\u0000", stderr: "err\n" });
  at.end(2, { stderr: "only this" });
  at.end(3, { stderr: "well" }, "success");
  at.end(4, { stderr: "not wanted" }, "cancelled");
  at.end(5, {});
  at.outputs.hear([{ kind: "try_ended", taskId: 6, outcome: "worker_lost" } as unknown as Fact]);
  await at.outputs.close();
  expect(at.names()).toEqual(["1-2.stderr", "1-2.stdout", "2-2.stderr"]);
  expect(readFileSync(join(at.path, "1-2.stdout"), "utf8")).toBe("out\u0000");
  expect(statSync(join(at.path, "1-2.stdout")).mode & 0o777).toBe(0o600);
  expect(at.told).toEqual([]);
});

test("FailedOutputs keeps the first of many, and says so once", async () => {
  await using few = new OutputFolder({ filesMax: 3 });
  for (let id = 1; id <= 9; id++) few.end(id, { stderr: "x" });
  await few.outputs.close();
  expect(few.names()).toEqual(["1-2.stderr", "2-2.stderr", "3-2.stderr"]);
  expect(few.told).toEqual([
    "what further failed tasks write is not kept: 3 files or 256 MB are enough",
  ]);
  await using small = new OutputFolder({ bytesMax: 100 });
  for (let id = 1; id <= 9; id++) small.end(id, { stderr: "x".repeat(40) });
  await small.outputs.close();
  expect(small.names().length).toBe(2);
  expect(small.told.length).toBe(1);
});

test("FailedOutputs drops what waits beyond a limit, and never waits itself", async () => {
  await using at = new OutputFolder();
  const stderr = "x".repeat(1_000_000);
  for (let id = 1; id <= 40; id++) at.end(id, { stderr });
  await at.outputs.close();
  expect(at.names().length).toBe(32);
  expect(at.told).toEqual(["some of what failed tasks write is not kept: the disk is slow"]);
});

test("FailedOutputs leaves no part of a file on a full disk, and says so once", async () => {
  await using at = new OutputFolder();
  using disk = smallDisk(at.path, 64 * 1024);
  if (disk === undefined) return;
  for (let id = 1; id <= 9; id++) at.end(id, { stderr: "x".repeat(20_000) });
  await at.outputs.close();
  const sizes = at.names().map((name) => statSync(join(at.path, name)).size);
  expect(sizes.length).toBeGreaterThan(0);
  expect(new Set(sizes)).toEqual(new Set([20_000]));
  expect(at.told.length).toBe(1);
  expect(at.told[0]).toContain("ENOSPC");
});

test("FailedOutputs makes nothing where outputs are switched off", async () => {
  await using at = new OutputFolder({
    runDirectory: { make: () => undefined, outputsPath: undefined },
  });
  at.end(1, { stderr: "err" });
  await at.outputs.close();
  expect(at.names()).toEqual([]);
});
