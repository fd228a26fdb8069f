/** What every staging has to do, whatever its scheme; each implementation passes this suite. */

import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { File } from "../../manager/dataflow/file.ts";
import { PlacedFile } from "../../manager/dataflow/placed_file.ts";
import type { Staging, StagingSite } from "../../manager/dataflow/staging.ts";
import { someBytes } from "../url_server.ts";

/** Where the files of a staging are in a test. */
export interface StagingFixture extends AsyncDisposable {
  readonly staging: Staging;
  /** A file with these contents. */
  file(name: string, bytes: Uint8Array): Promise<File>;
  /** A file that is not there, in a place that can be written to. */
  target(name: string): File;
  /** What is there; undefined where nothing is. */
  contents(file: File): Promise<Uint8Array | undefined>;
  /** A place that cannot be written to. */
  unwritable(): Promise<File>;
}

/** A site without a manager, in a folder that is gone at the end. */
export class TestSite implements StagingSite, Disposable {
  readonly executor = "test";
  readonly manager = undefined;
  readonly isShared: boolean;
  readonly #ending = new AbortController();
  readonly folder: string = mkdtempSync(join(tmpdir(), "tendril-site-"));
  #count = 0;

  constructor(isShared = true) {
    this.isShared = isShared;
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  readonly newPath = async (name: string): Promise<string> => {
    this.#count += 1;
    const folder = join(this.folder, String(this.#count));
    await mkdir(folder);
    return join(folder, name);
  };

  run(): Promise<PlacedFile> {
    throw new Error("nothing runs here");
  }

  abort(): void {
    this.#ending.abort(new Error("nobody needs it"));
  }

  /** A file that a call has made. */
  made(bytes: Uint8Array): PlacedFile {
    this.#count += 1;
    const path = join(this.folder, `made-${this.#count}`);
    writeFileSync(path, bytes);
    return new PlacedFile({ kind: "path", path });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs the suite. */
export function stagingContract(name: string, open: () => Promise<StagingFixture>): void {
  test(`${name}.canStageIn() takes files of its schemes, and no others`, async () => {
    await using fixture = await open();
    const { staging } = fixture;
    const own = fixture.target("a.txt");
    expect(staging.canStageIn(own)).toBe(true);
    expect(staging.canStageOut(own)).toBe(true);
    expect(staging.schemes).toContain(own.scheme);
    const other = new File("nobody:/has/this");
    expect(staging.canStageIn(other)).toBe(false);
    expect(staging.canStageOut(other)).toBe(false);
  });

  test(`${name}.stageIn() brings what is there, under its name`, async () => {
    await using fixture = await open();
    using site = new TestSite();
    const bytes = someBytes(30_000);
    const placed = await fixture.staging.stageIn(await fixture.file("reads.fq", bytes), site);
    expect(placed.name).toBe("reads.fq");
    expect(await placed.contents()).toEqual(bytes);
  });

  test(`${name}.stageIn() brings an empty file`, async () => {
    await using fixture = await open();
    using site = new TestSite();
    const placed = await fixture.staging.stageIn(await fixture.file("a", new Uint8Array()), site);
    expect(await placed.contents()).toEqual(new Uint8Array());
  });

  test(`${name}.stageIn() keeps files of one name apart`, async () => {
    await using fixture = await open();
    using site = new TestSite();
    const files = [
      await fixture.file("one/a.csv", someBytes(10, 1)),
      await fixture.file("two/a.csv", someBytes(10, 2)),
    ];
    const placed = await Promise.all(files.map((file) => fixture.staging.stageIn(file, site)));
    expect(await placed[0]!.contents()).toEqual(someBytes(10, 1));
    expect(await placed[1]!.contents()).toEqual(someBytes(10, 2));
  });

  test(`${name}.stageIn() of nothing fails, and leaves no data`, async () => {
    await using fixture = await open();
    using site = new TestSite();
    const missing = fixture.target("nothing.txt");
    const error = await thrownBy(() => fixture.staging.stageIn(missing, site));
    expect(error.message).toContain("nothing.txt");
    expect(await filesIn(site.folder)).toEqual([]);
  });

  test(`${name}.stageOut() brings what was made, and what was there goes`, async () => {
    await using fixture = await open();
    using site = new TestSite();
    const target = fixture.target("deep/out.bin");
    await fixture.staging.stageOut(target, site.made(someBytes(20_000)), site);
    expect(await fixture.contents(target)).toEqual(someBytes(20_000));
    await fixture.staging.stageOut(target, site.made(someBytes(10, 5)), site);
    expect(await fixture.contents(target)).toEqual(someBytes(10, 5));
    const again = await fixture.staging.stageIn(target, site);
    expect(await again.contents()).toEqual(someBytes(10, 5));
  });

  test(`${name}.stageOut() to where nothing can be written fails`, async () => {
    await using fixture = await open();
    using site = new TestSite();
    const target = await fixture.unwritable();
    const made = site.made(someBytes(10));
    const error = await thrownBy(() => fixture.staging.stageOut(target, made, site));
    expect(error.message).toContain(target.name);
  });

  test(`${name}.stageOut() ends with its signal, and writes nothing`, async () => {
    await using fixture = await open();
    using site = new TestSite();
    const target = fixture.target("never.bin");
    const made = site.made(someBytes(10));
    site.abort();
    await thrownBy(() => fixture.staging.stageOut(target, made, site));
    expect(await fixture.contents(target)).toBeUndefined();
  });
}

async function thrownBy(work: () => unknown): Promise<Error> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}

async function filesIn(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  return found.filter((one) => one.isFile()).map(({ name }) => name);
}

/** What is at a path; undefined where nothing is. */
export function contentsAt(path: string): Uint8Array | undefined {
  try {
    return new Uint8Array(readFileSync(path));
  } catch {
    // There is nothing.
    return undefined;
  }
}
