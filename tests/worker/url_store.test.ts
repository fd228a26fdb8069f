import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";

import { join } from "@std/path";

import type { CacheName } from "../../shared/ids.ts";
import { UrlError } from "../../shared/url/request.ts";
import { newTrees } from "../../worker/trees.ts";
import { storeAtUrl, type StoredSource } from "../../worker/url_store.ts";
import { someBytes, UrlServer } from "../url_server.ts";

const CONTEXT = { trees: newTrees("mark"), signal: new AbortController().signal };

/** Several reads. */
const BYTES = someBytes(3_000_000);

/** A folder with a file as a cache has it. */
class Folder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tendril-test-"));

  file(bytes: Uint8Array, wish: { isExecutable?: boolean } = {}): StoredSource {
    const path = join(this.path, "cached");
    rmSync(path, { force: true });
    writeFileSync(path, bytes, { mode: wish.isExecutable ? 0o555 : 0o444 });
    return { path, facts: this.facts(bytes, wish) };
  }

  facts(bytes: Uint8Array, wish: object = {}): StoredSource["facts"] {
    const digest = sha256(bytes);
    const name = "out" as CacheName;
    return { name, generation: 1, sizeBytes: bytes.length, digest, isDirectory: false, ...wish };
  }

  /** A url of a path in it. */
  url(...names: string[]): string {
    return pathToFileURL(join(this.path, ...names)).href;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(request));
}

async function failureOf(stored: Promise<void>): Promise<UrlError> {
  const error = await stored.then(() => undefined, (error: unknown) => error);
  expect(error).toBeInstanceOf(UrlError);
  return error as UrlError;
}

test("storeAtUrl() puts a file with its length, and nothing that is not needed", async () => {
  using folder = new Folder();
  const bodies: string[] = [];
  await using server = await UrlServer.open(async (request, response) => {
    bodies.push(sha256(await bodyOf(request)));
    response.writeHead(201).end();
  });
  await storeAtUrl(folder.file(BYTES), { url: server.url().replace("//", "//u:p@") }, CONTEXT);
  expect(bodies).toEqual([sha256(BYTES)]);
  const [{ line, headers }] = server.heard as [typeof server.heard[number]];
  expect(line).toBe("PUT /data");
  expect(headers["content-length"]).toBe("3000000");
  expect(headers["transfer-encoding"]).toBeUndefined();
  expect(headers["expect"]).toBeUndefined();
  expect(headers["authorization"]).toBe(`Basic ${btoa("u:p")}`);
});

test("storeAtUrl() puts an empty file", async () => {
  using folder = new Folder();
  await using server = await UrlServer.open((_request, response) => {
    response.writeHead(204).end();
  });
  await storeAtUrl(folder.file(new Uint8Array(0)), { url: server.url() }, CONTEXT);
  expect(server.lines("content-length")).toEqual(["PUT /data 0"]);
});

test("storeAtUrl() follows redirects that repeat a PUT, and no others", async () => {
  using folder = new Folder();
  const bodies: string[] = [];
  await using other = await UrlServer.open(async (request, response) => {
    bodies.push(sha256(await bodyOf(request)));
    response.writeHead(200).end();
  });
  await using server = await UrlServer.open(async (request, response) => {
    // Some answer when they have all of it, some at once.
    if (request.url === "/308") await bodyOf(request);
    const status = Number(request.url?.slice(1));
    response.writeHead(status, { Location: other.url(), Connection: "close" }).end();
  });
  const source = folder.file(BYTES);
  for (const status of [307, 308]) {
    await storeAtUrl(source, { url: server.url(`/${status}`).replace("//", "//u:p@") }, CONTEXT);
  }
  expect(bodies).toEqual([sha256(BYTES), sha256(BYTES)]);
  for (const { headers } of other.heard) expect(headers["authorization"]).toBeUndefined();
  const { kind, message } = await failureOf(
    storeAtUrl(source, { url: server.url("/303") }, CONTEXT),
  );
  expect(kind).toBe("refused");
  expect(message).toBe(`"${server.url("/303")}" answered 303, which takes no PUT elsewhere`);
});

test("storeAtUrl() tries again what may pass, and sends all of it again", async () => {
  using folder = new Folder();
  const bodies: string[] = [];
  await using server = await UrlServer.open(async (request, response, count) => {
    if (count === 1) return void request.once("data", () => request.destroy());
    bodies.push(sha256(await bodyOf(request)));
    if (count === 2) response.writeHead(503, { "Retry-After": "0" }).end("busy");
    else response.writeHead(200).end();
  });
  await storeAtUrl(folder.file(BYTES), { url: server.url() }, CONTEXT);
  expect(bodies).toEqual([sha256(BYTES), sha256(BYTES)]);
});

test("storeAtUrl() says what a server refused with", async () => {
  using folder = new Folder();
  await using server = await UrlServer.open(async (request, response) => {
    await bodyOf(request);
    response.writeHead(403, { "Content-Type": "application/xml" });
    response.end("<Error><Code>AccessDenied</Code></Error>\n<More/>");
  });
  const url = server.url("/x?signature=secret");
  const { kind, message } = await failureOf(storeAtUrl(folder.file(BYTES), { url }, CONTEXT));
  expect(kind).toBe("refused");
  expect(message).toBe(
    `"${server.url("/x")}" answered 403 Forbidden: <Error><Code>AccessDenied</Code></Error>`,
  );
  expect(server.heard).toHaveLength(1);
});

test("storeAtUrl() gives no server the whole of what is damaged here", async () => {
  using folder = new Folder();
  const { path } = folder.file(someBytes(3_000_000, 9));
  let isWhole = false;
  await using server = await UrlServer.open((request, response) => {
    request.on("error", () => {
      // The sender breaks off.
    });
    request.on("data", () => {});
    request.once("end", () => {
      isWhole = true;
      response.end();
    });
  });
  const source = { path, facts: folder.facts(BYTES) };
  const put = await failureOf(storeAtUrl(source, { url: server.url() }, CONTEXT));
  expect([put.kind, put.message]).toEqual([
    "wrong",
    `its copy here is damaged: it has digest ${sha256(someBytes(3_000_000, 9))}, ` +
    `not ${sha256(BYTES)}`,
  ]);
  expect(isWhole).toBe(false);
  const written = await failureOf(storeAtUrl(source, { url: folder.url("target") }, CONTEXT));
  expect(written.kind).toBe("wrong");
  expect(readdirSync(folder.path)).toEqual(["cached"]);
});

test("storeAtUrl() writes beside the path of a file url, and renames", async () => {
  using folder = new Folder();
  const path = join(folder.path, "deep", "er", "x".repeat(255));
  const url = folder.url("deep", "er", "x".repeat(255));
  await storeAtUrl(folder.file(BYTES), { url }, CONTEXT);
  expect(sha256(readFileSync(path))).toBe(sha256(BYTES));
  expect(statSync(path).mode & 0o777).toBe(0o666 & ~process.umask());
  const before = statSync(path).ino;
  await storeAtUrl(folder.file(someBytes(10)), { url, mode: 0o640 }, CONTEXT);
  expect(readdirSync(join(folder.path, "deep", "er"))).toEqual(["x".repeat(255)]);
  expect(statSync(path).mode & 0o777).toBe(0o640);
  expect(statSync(path).ino).not.toBe(before);
});

test("storeAtUrl() stores directories on disks, and nowhere else", async () => {
  using folder = new Folder();
  const path = join(folder.path, "tree");
  mkdirSync(join(path, "sub"), { recursive: true });
  writeFileSync(join(path, "sub", "run"), "#!/bin/sh\n", { mode: 0o555 });
  const source = { path, facts: folder.facts(new Uint8Array(0), { isDirectory: true }) };
  for (let round = 0; round < 2; round++) {
    await storeAtUrl(source, { url: folder.url("there") }, CONTEXT);
    const stored = join(folder.path, "there", "sub", "run");
    expect(readFileSync(stored, "utf8")).toBe("#!/bin/sh\n");
    expect(statSync(stored).mode & 0o100).toBe(0o100);
    expect(readdirSync(folder.path).sort()).toEqual(["there", "tree"]);
  }
  const { kind, message } = await failureOf(storeAtUrl(source, { url: "http://h/x" }, CONTEXT));
  expect([kind, message]).toEqual([
    "refused",
    "it is a directory, and a server takes files only",
  ]);
});

test("storeAtUrl() leaves what is in the way, and nothing of its own", async () => {
  using folder = new Folder();
  mkdirSync(join(folder.path, "there"));
  writeFileSync(join(folder.path, "file"), "mine");
  const source = folder.file(BYTES);
  const inTheWay = await failureOf(storeAtUrl(source, { url: folder.url("there") }, CONTEXT));
  expect([inTheWay.kind, inTheWay.message]).toEqual(["refused", "a directory is in the way"]);
  const below = await failureOf(storeAtUrl(source, { url: folder.url("file", "x") }, CONTEXT));
  expect(below.kind).toBe("refused");
  const away = await failureOf(storeAtUrl(source, { url: "file://elsewhere/x" }, CONTEXT));
  expect(away.message).toBe('"file://elsewhere/x" is no file url of this host');
  expect(readdirSync(folder.path).sort()).toEqual(["cached", "file", "there"]);
});

test("storeAtUrl() ends when it is told to, and leaves no half of a file", async () => {
  using folder = new Folder();
  const controller = new AbortController();
  await using server = await UrlServer.open((request) => {
    request.on("error", () => {
      // The sender breaks off.
    });
    request.once("data", () => controller.abort(new Error("enough")));
  });
  const source = folder.file(BYTES);
  const { signal } = controller;
  const context = { ...CONTEXT, signal };
  const put = storeAtUrl(source, { url: server.url() }, context);
  expect(await put.catch((error: unknown) => (error as Error).message)).toBe("enough");
  const written = storeAtUrl(source, { url: folder.url("target") }, context);
  expect(await written.catch((error: unknown) => (error as Error).message)).toBe("enough");
  expect(existsSync(join(folder.path, "target"))).toBe(false);
  expect(readdirSync(folder.path)).toEqual(["cached"]);
});
