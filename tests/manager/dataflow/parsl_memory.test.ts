/**
 * Weak spots of Parsl that touch memory and staging, each with a test that ours does not have it:
 * numbers are those of the list in the reference.
 *
 * @module
 */

import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { app, shellApp } from "../../../manager/dataflow/app.ts";
import { File } from "../../../manager/dataflow/file.ts";
import { MemoryMemoStore } from "../../../manager/dataflow/memory_memo_store.ts";
import { PlacedFile } from "../../../manager/dataflow/placed_file.ts";
import type { AppTry } from "../../../manager/dataflow/executor.ts";
import { type Answer, answeringFlow, done } from "./answering_executor.ts";
import { errorOf } from "./kernel_fixture.ts";

/** A server for the time of a test. */
class TestServer implements AsyncDisposable {
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
  }

  static async open(listener: RequestListener): Promise<TestServer> {
    const server = createServer(listener);
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return new TestServer(server);
  }

  file(name: string): File {
    return new File(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}

/** Texts of the files among the arguments of a try. */
function textsOf({ args }: AppTry): string[] {
  return args.flatMap((arg) =>
    arg instanceof PlacedFile && arg.placement.kind === "path"
      ? [readFileSync(arg.placement.path, "utf8")]
      : []
  );
}

async function tryCount(run: () => Promise<unknown>, answer: Answer = () => 1): Promise<number> {
  const { flow, executor } = await answeringFlow(answer);
  await run();
  await flow.close();
  return executor.tries.length;
}

test("15: a function with another body under the same name is another call", async () => {
  const run = async () => {
    await app((n: number) => n + 1, { name: "f" })(1);
    await app((n: number) => n + 2, { name: "f" })(1);
  };
  expect(await tryCount(run)).toBe(2);
});

test("15: calls that are the same at the same time run once", async () => {
  const f = app((n: number) => n, { name: "f" });
  expect(await tryCount(() => Promise.all(Array.from({ length: 100 }, () => f(1))))).toBe(1);
});

test("15: bytes, sets, maps, typed arrays, dates and files have keys", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-defects-"));
  writeFileSync(join(folder, "file"), "text");
  const f = app((_: unknown) => 1, { name: "f", memoize: true });
  const values = () => [
    new Uint8Array([1, 2]),
    new Float64Array([1, 2]),
    new Set(["a", "b"]),
    new Map([["a", 1]]),
    new Date(0),
    10n,
    new File(join(folder, "file")),
  ];
  try {
    const run = async () => {
      for (const value of [...values(), ...values()]) await f(value);
    };
    expect(await tryCount(run)).toBe(values().length);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("15: an entry that is torn is a miss, and the rest of the store is as good as ever", async () => {
  const store = new MemoryMemoStore();
  class TornStore extends MemoryMemoStore {
    override async get(keys: readonly string[]): ReturnType<MemoryMemoStore["get"]> {
      const found = await store.get(keys);
      return found.map((entry) => entry?.call === "f(1)" ? undefined : entry);
    }

    override put(entry: Parameters<MemoryMemoStore["put"]>[0]): Promise<void> {
      return store.put(entry);
    }
  }
  const f = app((n: number) => n, { name: "f" });
  const counts: number[] = [];
  for (const _ of [1, 2]) {
    const { flow, executor } = await answeringFlow(({ args }) => args[0], {
      memoStore: new TornStore(),
    });
    expect([await f(1), await f(2)]).toEqual([1, 2]);
    await flow.close();
    counts.push(executor.tries.length);
  }
  expect(counts).toEqual([2, 1]);
});

test("16: what a server says beside a 200 is no file", async () => {
  await using server = await TestServer.open((_, response) => {
    response.writeHead(404).end("no such thing here");
  });
  const f = app((file: File) => file, { name: "f", memoize: false });
  const { flow, executor } = await answeringFlow(textsOf);
  expect((await errorOf(f(server.file("gone")))).message).toContain("404");
  expect(executor.tries).toEqual([]);
  await flow.close();
});

test("16: files of the same name do not meet", async () => {
  await using server = await TestServer.open(({ url }, response) => {
    response.writeHead(200).end(`text of ${url}`);
  });
  const f = app((a: File, b: File) => [a, b], { name: "f", memoize: false });
  const { flow } = await answeringFlow(textsOf);
  const texts: unknown = await f(server.file("a/data"), server.file("b/data"));
  expect(texts).toEqual(["text of /a/data", "text of /b/data"]);
  await flow.close();
});

test("16: a url is brought once for all its readers, and again once its contents are others", async () => {
  let text = "one";
  let gets = 0;
  await using server = await TestServer.open(({ method }, response) => {
    if (method === "GET") gets += 1;
    response.writeHead(200, { etag: `"${text}"` }).end(method === "HEAD" ? "" : text);
  });
  const f = app((file: File, n: number) => [file, n], { name: "f" });
  const memoStore = new (class extends MemoryMemoStore {
    override close(): Promise<void> {
      return Promise.resolve();
    }
  })();
  const read = async (...numbers: number[]) => {
    const { flow } = await answeringFlow(textsOf, { memoStore });
    const texts: unknown[] = await Promise.all(numbers.map((n) => f(server.file("data"), n)));
    await flow.close();
    return texts;
  };
  expect(await read(1, 2, 3)).toEqual([["one"], ["one"], ["one"]]);
  expect(gets).toBe(1);
  expect(await read(1)).toEqual([["one"]]);
  expect(gets).toBe(1);
  text = "two";
  expect(await read(1)).toEqual([["two"]]);
});

test("17: a call is done once its outputs are where they were promised, and fails if they are not", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-defects-"));
  const made = join(folder, "made");
  writeFileSync(made, "made");
  let status = 201;
  let isStored = false;
  await using server = await TestServer.open((request, response) => {
    request.resume().on("end", () => {
      isStored = status === 201;
      response.writeHead(status).end();
    });
  });
  const answer: Answer = () => done({}, { out: new PlacedFile({ kind: "path", path: made }) });
  const put = shellApp(() => "make", {
    outputs: { out: { to: server.file("out") } },
    name: "put",
    memoize: false,
  });
  try {
    const { flow } = await answeringFlow(answer);
    await put();
    expect(isStored).toBe(true);
    status = 403;
    expect((await errorOf(put())).message).toContain("403");
    await flow.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
