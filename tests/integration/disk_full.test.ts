import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";

import { Manager } from "../../mod.ts";
import { ticketHeader } from "../../shared/ticket.ts";
import { FakeClient } from "../manager/fake_client.ts";
import { Scratch, until } from "./scratch.ts";
import { smallDisk } from "./small_disk.ts";

const DISK_BYTES = 40_000_000;

test("A full disk fails what needs it, with a reason, and the worker goes on", async () => {
  await using scratch = await Scratch.open();
  const workspace = scratch.path("disk");
  using disk = smallDisk(workspace, DISK_BYTES);
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
    expect.stringContaining(`its inputs have ${DISK_BYTES + 1} bytes together`),
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
}, 120_000);

test("A task that fills the disk ends alone: what it kept waiting beside it succeeds", async () => {
  await using scratch = await Scratch.open();
  const workspace = scratch.path("disk");
  using disk = smallDisk(workspace, 64 * 2 ** 20);
  if (disk === undefined) return;
  await using manager = await Manager.start();
  // It takes the disk for larger than it is, or it would stop the task before the disk is full.
  const args = ["--disk", "80MB"];
  const worker = await scratch.worker(manager, { workspace, args, cores: 4 });
  const input = scratch.path("input");
  writeFileSync(input, new Uint8Array(20_000_000));
  const [full, go] = [scratch.path("full"), scratch.path("go")];
  const wait = (path: string) => `while [ ! -e ${path} ]; do sleep 0.05; done`;
  const beside = manager.submit({
    command: `${wait(full)}; echo still here 1>&2 || true; ${wait(go)}`,
  });
  const filler = manager.submit({
    command: `dd if=/dev/zero of=fill bs=64k; code=$?; touch ${full}; ${wait(go)}; exit $code`,
  });
  await until(() => existsSync(full), "the disk is full");
  // Neither a file nor a sandbox has room now.
  const reads = manager.submit({ command: "wc -c < in", inputs: { in: manager.file(input) } });
  const makes = manager.submit({
    command: `${wait(go)}; until echo made; do sleep 0.05; done 2>/dev/null`,
  });
  await until(() => manager.status().transfers > 0, "the file is on its way");
  writeFileSync(go, "");
  const { outcome, message } = await filler;
  expect(["exit", "disk_full"]).toContain(outcome);
  expect(message).toMatch(/disk of (the|this) worker|bytes of disk of this/);
  expect([(await beside).outcome, (await beside).message]).toEqual(["success", ""]);
  expect([(await reads).outcome, (await reads).stdout.trim()]).toEqual(["success", "20000000"]);
  expect([(await makes).outcome, (await makes).stdout]).toEqual(["success", "made\n"]);
  expect(worker.child.exitCode).toBe(null);
}, 120_000);

test("A full disk of the manager fails the task whose output does not fit", async () => {
  await using scratch = await Scratch.open();
  const folder = scratch.path("disk");
  using disk = smallDisk(folder, DISK_BYTES);
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
}, 120_000);

test("A full disk of the manager refuses an upload, and leaves nothing of it", async () => {
  await using scratch = await Scratch.open();
  const folder = scratch.path("disk");
  using disk = smallDisk(folder, DISK_BYTES);
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
}, 120_000);
