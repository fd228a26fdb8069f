import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { setImmediate as turn } from "node:timers/promises";

import { join } from "@std/path";

import { OutputLog, type TaskOutput } from "../../manager/output_log.ts";

/** A log in a folder of its own. */
class Fixture implements AsyncDisposable {
  readonly log: OutputLog;
  readonly folder: string;
  readonly failures: string[];

  private constructor(log: OutputLog, folder: string, failures: string[]) {
    this.log = log;
    this.folder = folder;
    this.failures = failures;
  }

  static async open(segmentBytesMax?: number): Promise<Fixture> {
    const folder = await mkdtemp(join(tmpdir(), "tendril-output-"));
    const failures: string[] = [];
    const onFailure = (message: string) => void failures.push(message);
    const log = new OutputLog({ folder: join(folder, "log"), segmentBytesMax, onFailure });
    return new Fixture(log, folder, failures);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

const output = (stdout: string, stderr = ""): TaskOutput => ({
  stdout: new TextEncoder().encode(stdout),
  stderr: new TextEncoder().encode(stderr),
});

async function textOf(read: Promise<TaskOutput | undefined>): Promise<string[] | undefined> {
  const found = await read;
  return found && [found.stdout, found.stderr].map((bytes) => new TextDecoder().decode(bytes));
}

test("OutputLog gives back what was written, before and after it is on the disk", async () => {
  await using fixture = await Fixture.open();
  const { log } = fixture;
  const places = ["a", "bb", "ccc"].map((text) => log.append(output(text, `${text}!`)));
  const nothing = log.append(output(""));
  expect(await textOf(log.read(places[1]!))).toEqual(["bb", "bb!"]);
  while (places.some(({ waiting }) => waiting !== undefined)) await turn();
  await log.close();
  expect(await Promise.all(places.map((place) => textOf(log.read(place))))).toEqual([
    ["a", "a!"],
    ["bb", "bb!"],
    ["ccc", "ccc!"],
  ]);
  expect(await textOf(log.read(nothing))).toEqual(["", ""]);
  expect(await readdir(join(fixture.folder, "log"))).toEqual(["output-0"]);
});

test("OutputLog makes no file before something was written", async () => {
  await using fixture = await Fixture.open();
  fixture.log.append(output(""));
  await fixture.log.close();
  expect(await readdir(fixture.folder)).toEqual([]);
});

test("OutputLog drops the older half when the newer one is full", async () => {
  await using fixture = await Fixture.open(10);
  const { log } = fixture;
  const places = [];
  for (const text of ["first...", "second..", "third..."]) {
    const place = log.append(output(text));
    places.push(place);
    while (place.waiting !== undefined) await turn();
  }
  expect(await Promise.all(places.map((place) => textOf(log.read(place))))).toEqual([
    undefined,
    ["second..", ""],
    ["third...", ""],
  ]);
  expect((await readdir(join(fixture.folder, "log"))).sort()).toEqual(["output-1", "output-2"]);
});

test("OutputLog says once that the disk takes nothing, and goes on when it does", async () => {
  await using fixture = await Fixture.open();
  const { log, folder, failures } = fixture;
  // A file where the folder should be: nothing can be written below it, by root either.
  await writeFile(join(folder, "log"), "");
  const lost = [];
  for (const text of ["a", "b"]) {
    const place = log.append(output(text));
    lost.push(place);
    while (place.waiting !== undefined) await turn();
  }
  expect(await Promise.all(lost.map((place) => textOf(log.read(place))))).toEqual([
    undefined,
    undefined,
  ]);
  expect(failures).toHaveLength(1);
  expect(failures[0]).toContain("Cannot keep what tasks write: ");
  await rm(join(folder, "log"));
  const kept = log.append(output("c"));
  while (kept.waiting !== undefined) await turn();
  expect(await textOf(log.read(kept))).toEqual(["c", ""]);
});

test("OutputLog keeps no more than the disk can follow", async () => {
  await using fixture = await Fixture.open();
  const { log } = fixture;
  const large = output("x".repeat(1024 * 1024));
  const places = Array.from({ length: 70 }, () => log.append(large));
  expect(places.filter(({ isLost }) => isLost)).toHaveLength(6);
});
