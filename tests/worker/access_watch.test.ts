import { expect, test } from "bun:test";
import { linkSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { AccessWatch } from "../../worker/access_watch.ts";

/** A folder that is watched for `managers/demo.json`, with what was told so far. */
class Home implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly file: string = join(this.path, "home", "managers", "demo.json");
  #count = 0;
  #wake: (() => void) | undefined;
  readonly #watch: AccessWatch;

  constructor({ isThere }: { isThere: boolean }) {
    if (isThere) this.makeFolder();
    this.#watch = new AccessWatch(this.file, () => {
      this.#count += 1;
      this.#wake?.();
    });
  }

  makeFolder(): void {
    mkdirSync(join(this.path, "home", "managers"), { recursive: true });
  }

  /** Resolves when something was told after `change`. */
  async tells(change: () => void): Promise<void> {
    const before = this.#count;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = () => {
      if (this.#count > before) resolve();
    };
    change();
    await promise;
  }

  /** Writes the file until it is told of: Bun's watches begin in a thread of their own. */
  async begins(): Promise<void> {
    const timer = setInterval(() => writeFileSync(this.file, "0"), 5);
    await this.tells(() => {});
    clearInterval(timer);
  }

  [Symbol.dispose](): void {
    this.#watch.close();
    rmSync(this.path, { recursive: true, force: true });
  }
}

// Bun tells only one of two changes of a kind within a moment, so each has a watch of its own.
test("AccessWatch tells when its file is published", async () => {
  using home = new Home({ isThere: true });
  await home.begins();
  rmSync(home.file);
  const draft = `${home.file}.draft`;
  writeFileSync(draft, "1");
  await home.tells(() => linkSync(draft, home.file));
});

test("AccessWatch tells when its file is replaced", async () => {
  using home = new Home({ isThere: true });
  await home.begins();
  const draft = `${home.file}.draft`;
  writeFileSync(draft, "1");
  await home.tells(() => renameSync(draft, home.file));
});

test("AccessWatch tells when its file is removed", async () => {
  using home = new Home({ isThere: true });
  await home.begins();
  await home.tells(() => rmSync(home.file));
});

test("AccessWatch tells of a file whose folders are made later, and made anew", async () => {
  using home = new Home({ isThere: false });
  await home.tells(() => {
    home.makeFolder();
    writeFileSync(home.file, "1");
  });
  await home.tells(() => rmSync(join(home.path, "home"), { recursive: true }));
  await home.tells(() => home.makeFolder());
  await home.tells(() => writeFileSync(home.file, "2"));
});

test("AccessWatch is content with a folder that cannot be watched", () => {
  const watch = new AccessWatch("/proc/self/fdinfo/none/demo.json", () => {});
  expect(() => watch.close()).not.toThrow();
});
