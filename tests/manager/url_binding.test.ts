import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";

import { join } from "@std/path";

import { FileMissingError } from "../../manager/file_binding.ts";
import { bindUrl, type NamedUrl } from "../../manager/url_binding.ts";
import { type Answer, sendAndBreak, serveDocument, someBytes, UrlServer } from "../url_server.ts";

const BYTES = someBytes(100_000);
const DIGEST = createHash("sha256").update(BYTES).digest("hex");

function named(url: string, wish: Partial<NamedUrl> = {}): NamedUrl {
  return {
    url,
    level: "worker",
    sha256: "",
    isExecutable: false,
    workflowId: "w",
    salt: new Uint8Array(16),
    signal: new AbortController().signal,
    ...wish,
  };
}

async function failureOf(asked: NamedUrl): Promise<string> {
  const error = await bindUrl(asked).then(() => undefined, (error: unknown) => error);
  expect(error).toBeInstanceOf(FileMissingError);
  return (error as Error).message;
}

/** Answers HEAD as `refuse` does, and all else as an honest server. */
function without(refuse: Answer, document = { bytes: BYTES, etag: '"1"' }): Answer {
  return (request, response, count) => {
    if (request.method === "HEAD") return refuse(request, response, count);
    serveDocument(request, response, document);
  };
}

test("bindUrl() asks nobody for the name of a url of the workflow", async () => {
  const one = await bindUrl(named("http://127.0.0.1:1/x", { level: "workflow" }));
  const same = await bindUrl(named("http://127.0.0.1:1/x", { level: "task" }));
  const other = await bindUrl(named("http://127.0.0.1:1/x", { level: "task", workflowId: "v" }));
  expect(one).toEqual(same);
  expect(one).toMatchObject({ sizeBytes: -1, digest: "", isDirectory: false });
  expect(other.name).not.toBe(one.name);
});

test("bindUrl() gives nobody a name by which to try passwords", async () => {
  const url = "http://u:password@127.0.0.1:1/x";
  const one = await bindUrl(named(url, { level: "workflow" }));
  const salted = await bindUrl(named(url, { level: "workflow", salt: new Uint8Array([1]) }));
  expect(salted.name).not.toBe(one.name);
  const wrong = await bindUrl(named(url.replace("password", "wrong"), { level: "workflow" }));
  expect(wrong.name).not.toBe(one.name);
});

test("bindUrl() names a url by its ETag, whoever asks and however", async () => {
  const document = { bytes: BYTES, etag: '"1"' };
  await using server = await UrlServer.open((request, response) => {
    serveDocument(request, response, document);
  });
  const one = await bindUrl(named(server.url()));
  expect(one).toMatchObject({ sizeBytes: 100_000, digest: "", validator: '"1"' });
  expect(await bindUrl(named(server.url().replace("//", "//u:p@")))).toEqual(one);
  expect(server.lines()).toEqual(["HEAD /data", "HEAD /data"]);
  document.etag = '"2"';
  expect((await bindUrl(named(server.url()))).name).not.toBe(one.name);
  const program = await bindUrl(named(server.url(), { isExecutable: true }));
  expect(program.name).toEndWith("-x");
  expect(program.isExecutable).toBe(true);
});

test("bindUrl() names a url by a Last-Modified that is old enough", async () => {
  const modified = new Date(Date.now() - 3_600_000).toUTCString();
  await using server = await UrlServer.open((request, response) => {
    const headers = { "Last-Modified": modified };
    serveDocument(request, response, { bytes: BYTES, etag: "", headers });
  });
  const { validator, name } = await bindUrl(named(server.url()));
  expect(validator).toBe(`\n${new Date(modified).toISOString()}\n100000`);
  expect(name).toStartWith("url-");
  expect(server.lines()).toEqual(["HEAD /data"]);
});

test("bindUrl() asks for the first byte where HEAD is refused", async () => {
  for (const status of [405, 403, 404, 501]) {
    await using server = await UrlServer.open(
      without((_request, response) => void response.writeHead(status).end()),
    );
    expect(await bindUrl(named(server.url()))).toMatchObject({
      sizeBytes: 100_000,
      validator: '"1"',
    });
    expect(server.lines("range")).toEqual(["HEAD /data", "GET /data bytes=0-0"]);
  }
});

test("bindUrl() does not believe a server that tells HEAD of no bytes", async () => {
  await using server = await UrlServer.open(without((_request, response) => {
    response.writeHead(200, { "ETag": '"1"', "Content-Length": "0" }).end();
  }));
  expect(await bindUrl(named(server.url()))).toMatchObject({ sizeBytes: -1, validator: '"1"' });
});

test("bindUrl() names an empty file whose server refuses HEAD", async () => {
  const empty = { bytes: new Uint8Array(0), etag: '"0"' };
  await using server = await UrlServer.open(
    without((_request, response) => void response.writeHead(405).end(), empty),
  );
  expect(await bindUrl(named(server.url()))).toMatchObject({ sizeBytes: -1, validator: '"0"' });
});

test("bindUrl() reads what its server tells nothing about, across broken connections", async () => {
  await using server = await UrlServer.open((request, response, count) => {
    if (count === 2) {
      response.writeHead(200, { "Content-Length": BYTES.length });
      return sendAndBreak(response, BYTES.subarray(0, 50_000));
    }
    serveDocument(request, response, { bytes: BYTES, etag: "" });
  });
  expect(await bindUrl(named(server.url(), { level: "forever" }))).toEqual({
    name: `file-sha256-${DIGEST}` as never,
    sizeBytes: 100_000,
    digest: DIGEST,
    isDirectory: false,
    isExecutable: false,
  });
  expect(server.lines()).toEqual(["HEAD /data", "GET /data", "GET /data"]);
});

test("bindUrl() takes the SHA-256 that is stated, by the user or the server", async () => {
  const name = `file-sha256-${DIGEST}` as never;
  const stated = await bindUrl(named("http://127.0.0.1:1/x", { sha256: DIGEST }));
  expect(stated).toMatchObject({ name, digest: DIGEST, sizeBytes: -1 });
  const base64 = createHash("sha256").update(BYTES).digest("base64");
  await using server = await UrlServer.open((request, response) => {
    const headers = { "Repr-Digest": `sha-256=:${base64}:` };
    serveDocument(request, response, { bytes: BYTES, etag: '"1"', headers });
  });
  const told = await bindUrl(named(server.url()));
  expect(told).toMatchObject({ name, digest: DIGEST, sizeBytes: 100_000 });
  expect(server.lines()).toEqual(["HEAD /data"]);
});

test("bindUrl() asks a busy server again, and says what a final answer was", async () => {
  await using server = await UrlServer.open((request, response, count) => {
    if (request.url?.startsWith("/gone")) return void response.writeHead(410).end("no more");
    if (count < 3) return void response.writeHead(503, { "Retry-After": "0" }).end();
    serveDocument(request, response, { bytes: BYTES, etag: '"1"' });
  });
  expect((await bindUrl(named(server.url()))).validator).toBe('"1"');
  expect(server.heard).toHaveLength(3);
  const url = server.url("/gone").replace("//", "//user:secret@");
  expect(await failureOf(named(`${url}?key=secret`))).toBe(
    `Cannot name url "${server.url("/gone")}": "${server.url("/gone")}" answered 410 Gone: no more`,
  );
});

test("bindUrl() names files of a shared disk by size and time, directories by contents", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tendril-test-"));
  try {
    const [path, tree] = [join(folder, "a"), join(folder, "tree")];
    writeFileSync(path, "one", { mode: 0o755 });
    utimesSync(path, 1, 1);
    const url = pathToFileURL(path).href;
    const one = await bindUrl(named(url));
    expect(one).toMatchObject({ sizeBytes: 3, isDirectory: false, isExecutable: true });
    expect(one.validator).toBe("3 bytes of 1000000000 ns");
    utimesSync(path, 2, 2);
    expect((await bindUrl(named(url))).name).not.toBe(one.name);

    mkdirSync(tree);
    writeFileSync(join(tree, "x"), "one");
    const first = await bindUrl(named(pathToFileURL(tree).href));
    expect(first).toMatchObject({ isDirectory: true });
    expect(first.name).toStartWith("dir1-");
    writeFileSync(join(tree, "x"), "two");
    expect((await bindUrl(named(pathToFileURL(tree).href))).name).not.toBe(first.name);

    const missing = pathToFileURL(join(folder, "missing")).href;
    expect(await failureOf(named(missing))).toBe(
      `Cannot name url "${missing}" for longer than the workflow: the manager cannot read ` +
        `"${join(folder, "missing")}" (no such file or directory); state its sha256`,
    );
    expect((await bindUrl(named(missing, { level: "workflow" }))).name).toStartWith("url-");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("bindUrl() ends when the manager closes", async () => {
  await using server = await UrlServer.open(() => {});
  const controller = new AbortController();
  const bound = failureOf(named(server.url(), { signal: controller.signal }));
  while (server.heard.length === 0) await new Promise((resolve) => setImmediate(resolve));
  controller.abort(new Error("the manager is closing"));
  expect(await bound).toContain("the manager is closing");
});
