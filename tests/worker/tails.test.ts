import { expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";

import { join } from "@std/path";

import type { TaskId, WatchId } from "../../shared/ids.ts";
import { PIECE_BYTES_MAX, WATCH_LAST_BYTES, type WorkerMessage } from "../../shared/protocol.ts";
import { BEHIND_BYTES_MAX, type TailOrder, Tails, WATCHES_MAX } from "../../worker/tails.ts";
import { TemporaryFolder } from "./task_fixture.ts";

const ID = { taskId: 7 as TaskId, try: 1 };

/** Tails of one try in a folder, and what they say. */
class Fixture implements AsyncDisposable {
  readonly folder: TemporaryFolder = new TemporaryFolder();
  readonly directory: string = join(this.folder.path, "work");
  readonly said: WorkerMessage[] = [];
  readonly tails: Tails = new Tails((messages) => void this.said.push(...messages));
  readonly #stdout: number;
  #heard: (() => void) | undefined;
  #lastId = 0;

  constructor() {
    mkdirSync(this.directory);
    const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT;
    this.#stdout = openSync(join(this.folder.path, "stdout"), flags);
    const push = this.said.push.bind(this.said);
    this.said.push = (...messages) => {
      const count = push(...messages);
      this.#heard?.();
      return count;
    };
  }

  /** The try runs from now on. */
  start(): Disposable {
    this.tails.expect(ID);
    return this.tails.attach(ID, { directory: this.directory, descriptor: () => this.#stdout });
  }

  write(text: string): void {
    appendFileSync(join(this.folder.path, "stdout"), text);
  }

  watch(more: Partial<Extract<TailOrder, { kind: "watch" }>> = {}): WatchId {
    this.#lastId += 1;
    const watchId = this.#lastId as WatchId;
    const source = { kind: "stream", stream: "stdout" } as const;
    const how = { fromByte: 0, creditBytes: 1_000_000, canSkip: false };
    this.tails.take({ kind: "watch", watchId, ...ID, source, ...how, ...more });
    return watchId;
  }

  /** What was said of a watch so far, with the number of bytes of each piece. */
  told(watchId: WatchId): (string | [atByte: number, length: number])[] {
    const told: (string | [number, number])[] = [];
    for (const message of this.said) {
      if (!("watchId" in message) || message.watchId !== watchId) continue;
      if (message.kind === "watch_ended") told.push(message.reason);
      else told.push([message.atByte, message.bytes.length]);
    }
    return told;
  }

  /** Waits until that many messages were said of a watch. */
  async until(watchId: WatchId, count: number): Promise<void> {
    while (this.told(watchId).length < count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#heard = resolve;
      await promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.tails.clear();
    closeSync(this.#stdout);
    await this.folder[Symbol.asyncDispose]();
  }
}

test("Tails tell what is there at once, then what is new, and at the end what is left", async () => {
  await using fixture = new Fixture();
  const run = fixture.start();
  fixture.write("one");
  const watch = fixture.watch();
  expect(fixture.told(watch)).toEqual([[0, 3]]);
  fixture.write("two");
  await fixture.until(watch, 2);
  fixture.write("three!");
  run[Symbol.dispose]();
  expect(fixture.told(watch)).toEqual([[0, 3], [3, 3], [6, 6], "ended"]);
});

test("Tails wait for a try that has no sandbox yet, and know none that has ended", async () => {
  await using fixture = new Fixture();
  const none = fixture.watch();
  expect(fixture.told(none)).toEqual(["ended"]);
  fixture.write("one");
  fixture.tails.expect(ID);
  const early = fixture.watch();
  expect(fixture.told(early)).toEqual([]);
  const run = fixture.start();
  expect(fixture.told(early)).toEqual([[0, 3]]);
  run[Symbol.dispose]();
  expect(fixture.told(fixture.watch())).toEqual(["ended"]);
  fixture.tails.expect(ID);
  const never = fixture.watch();
  fixture.tails.forget(ID);
  expect(fixture.told(never)).toEqual(["ended"]);
});

test("Tails tell no more than they have credit for, in pieces, and go on with more", async () => {
  await using fixture = new Fixture();
  const run = fixture.start();
  fixture.write("x".repeat(3 * PIECE_BYTES_MAX));
  const creditBytes = PIECE_BYTES_MAX + 10;
  const watch = fixture.watch({ creditBytes });
  expect(fixture.told(watch)).toEqual([[0, PIECE_BYTES_MAX], [PIECE_BYTES_MAX, 10]]);
  fixture.tails.take({ kind: "watch_credit", watchId: watch, bytes: 5 });
  expect(fixture.told(watch).at(-1)).toEqual([creditBytes, 5]);
  run[Symbol.dispose]();
  const told = fixture.told(watch);
  expect(told.slice(3)).toEqual([[creditBytes + 5, WATCH_LAST_BYTES], "ended"]);
});

test("Tails that may skip go on near the end of what is far ahead", async () => {
  await using fixture = new Fixture();
  const run = fixture.start();
  fixture.write("x".repeat(BEHIND_BYTES_MAX));
  const near = fixture.watch({ canSkip: true, creditBytes: 10 });
  fixture.write("xx");
  const far = fixture.watch({ canSkip: true, creditBytes: 10 });
  const without = fixture.watch({ canSkip: true, creditBytes: 0 });
  const size = BEHIND_BYTES_MAX + 2;
  expect(fixture.told(near)).toEqual([[0, 10]]);
  expect(fixture.told(far)).toEqual([[size - WATCH_LAST_BYTES, 10]]);
  expect(fixture.told(without)).toEqual([]);
  run[Symbol.dispose]();
  expect(fixture.told(without)).toEqual([[size - WATCH_LAST_BYTES, WATCH_LAST_BYTES], "ended"]);
});

test("Tails end a watch whose file shrinks or is replaced, and look at no link", async () => {
  await using fixture = new Fixture();
  using _run = fixture.start();
  const path = (name: string) => join(fixture.directory, name);
  const mounted = (mount: string) => fixture.watch({ source: { kind: "mount", mount } });
  const [cut, replaced] = [mounted("cut"), mounted("replaced")];
  for (const name of ["cut", "replaced"]) writeFileSync(path(name), "first");
  await fixture.until(cut, 1);
  await fixture.until(replaced, 1);
  truncateSync(path("cut"), 2);
  writeFileSync(path("other"), "longer than it was");
  renameSync(path("other"), path("replaced"));
  await fixture.until(cut, 2);
  await fixture.until(replaced, 2);
  expect(fixture.told(cut)).toEqual([[0, 5], "shrunk"]);
  expect(fixture.told(replaced)).toEqual([[0, 5], "replaced"]);
  const secret = join(fixture.folder.path, "secret");
  mkdirSync(secret);
  writeFileSync(join(secret, "file"), "secret");
  symlinkSync(join(secret, "file"), path("link"));
  symlinkSync(secret, path("above"));
  expect(fixture.told(mounted("link"))).toEqual(["special"]);
  expect(fixture.told(mounted("above/file"))).toEqual(["special"]);
});

test("Tails take a number of watches, and none after the connection has closed", async () => {
  await using fixture = new Fixture();
  using _run = fixture.start();
  const watches = Array.from({ length: WATCHES_MAX }, () => fixture.watch());
  expect(fixture.told(fixture.watch())).toEqual(["too_many"]);
  fixture.tails.take({ kind: "unwatch", watchId: watches[0]! });
  const last = fixture.watch();
  fixture.write("one");
  await fixture.until(last, 1);
  fixture.tails.clear();
  fixture.said.length = 0;
  fixture.tails.take({ kind: "watch_credit", watchId: last, bytes: 1 });
  expect(fixture.said).toEqual([]);
});
