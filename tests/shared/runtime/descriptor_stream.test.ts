import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { descriptorStream } from "../../../shared/runtime/descriptor_stream.ts";

test("descriptorStream() gives what comes in, as it comes, and ends with it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "descriptor-"));
  try {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    // Opened for both, as the opening for one alone would wait for the other.
    const held = openSync(path, "r+");
    const writer = openSync(path, "w");
    const reader = openSync(path, "r");
    closeSync(held);
    writeSync(writer, "first");
    let read = "";
    for await (const chunk of descriptorStream(reader)) {
      read += new TextDecoder().decode(chunk);
      if (read === "first") writeSync(writer, ", second");
      if (read.endsWith("second")) closeSync(writer);
    }
    expect(read).toBe("first, second");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
