import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import process from "node:process";

import { Manager } from "../../mod.ts";
import { ticketHeader } from "../../shared/ticket.ts";
import { FakeClient } from "../manager/fake_client.ts";
import { Scratch } from "./scratch.ts";

const DISK_BYTES = 40_000_000;

/** A small disk at `path` until it is disposed; undefined where none can be made. */
function smallDisk(path: string): Disposable | undefined {
  mkdirSync(path, { recursive: true });
  const args = ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tendril-test", path];
  if (spawnSync("mount", args).status !== 0) return undefined;
  return { [Symbol.dispose]: () => void spawnSync("umount", ["-l", path]) };
}

test("A full disk fails what needs it, with a reason, and the worker goes on", async () => {
  await using scratch = await Scratch.open();
  const workspace = scratch.path("disk");
  using disk = smallDisk(workspace);
  // Only root can mount.
  if (disk === undefined) return;
  await using manager = await Manager.start();
  const worker = await scratch.worker(manager, { workspace });
  const kept = manager.temp();
  expect((await manager.submit({ command: "echo kept > kept", outputs: { kept } })).outcome)
    .toBe("success");

  const large = scratch.path("large");
  writeFileSync(large, new Uint8Array(DISK_BYTES + 1));
  const [fetched, written] = await Promise.all([
    manager.submit({ command: "true", inputs: { large: manager.file(large) } }),
    manager.submit({
      command: `head -c ${2 * DISK_BYTES} /dev/zero > out`,
      outputs: { out: manager.temp() },
    }),
  ]);
  expect([fetched.outcome, fetched.message]).toEqual([
    "disk_full",
    expect.stringContaining(`it needs ${DISK_BYTES + 1} bytes of disk`),
  ]);
  expect(["exit", "disk_full"]).toContain(written.outcome);
  const after = await manager.submit({ command: "cat kept", inputs: { kept } });
  expect([after.outcome, after.stdout, after.message]).toEqual(["success", "kept\n", ""]);
  const small = scratch.path("small");
  writeFileSync(small, new Uint8Array(1_000_000));
  const later = manager.submit({
    command: "wc -c < small",
    inputs: { small: manager.file(small) },
  });
  expect([(await later).outcome, (await later).stdout.trim()]).toEqual(["success", "1000000"]);
  expect(worker.child.exitCode).toBe(null);
}, 40_000);

test("A full disk of the manager fails the task whose output does not fit", async () => {
  await using scratch = await Scratch.open();
  const folder = scratch.path("disk");
  using disk = smallDisk(folder);
  if (disk === undefined) return;
  await using manager = await Manager.start({ workers: 1 });
  const out = manager.file(`${folder}/out`);
  const command = `head -c ${2 * DISK_BYTES} /dev/zero > out`;
  const result = await manager.submit({ command, outputs: { out } });
  expect([result.outcome, result.message]).toEqual([
    expect.stringMatching(/^(transfer_failed|disk_full)$/),
    expect.stringContaining("no space left"),
  ]);
  const small = manager.file(`${folder}/small`);
  const next = await manager.submit({ command: "echo fits > out", outputs: { out: small } });
  expect(next.outcome).toBe("success");
}, 40_000);

test("A full disk of the manager refuses an upload, and leaves nothing of it", async () => {
  await using scratch = await Scratch.open();
  const folder = scratch.path("disk");
  using disk = smallDisk(folder);
  if (disk === undefined) return;
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = folder;
  await using manager = await Manager.start({ name: "full" }).finally(() => {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  });
  const client = await FakeClient.join("full");
  const upload = async (sizeBytes: number): Promise<number> => {
    const bytes = new Uint8Array(sizeBytes);
    const { upload } = await client.expect("declared", {
      kind: "declare",
      file: {
        kind: "upload",
        sizeBytes,
        digest: createHash("sha256").update(bytes).digest("hex"),
        isDirectory: false,
        isExecutable: false,
      },
      level: "workflow",
    });
    const headers = { authorization: ticketHeader(upload?.ticket ?? "") };
    const url = `${manager.address}/files/${upload?.name}`;
    return (await fetch(url, { method: "PUT", headers, body: bytes })).status;
  };
  expect(await upload(DISK_BYTES + 1)).toBe(507);
  // There is room again.
  expect(await upload(DISK_BYTES / 2)).toBe(204);
  expect((await client.ask({ kind: "ping" })).kind).toBe("pong");
}, 40_000);
