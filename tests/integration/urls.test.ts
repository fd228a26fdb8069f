/** Urls with real workers: fetched once per cluster, whole and of one version, and stored. */

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { pathToFileURL } from "node:url";

import { join } from "@std/path";

import { Manager } from "../../mod.ts";
import { sendAndBreak, serveDocument, someBytes, UrlServer } from "../url_server.ts";
import { Scratch, until } from "./scratch.ts";
// Its workers are the binary, which must be of these sources.
import "../binary/built.ts";

const SECRET = "hunter-2-secret";
const BYTES = someBytes(400_000);
const DIGEST = sha256(BYTES);

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(request));
}

/** The same url with a user. */
function withUser(url: string): string {
  return url.replace("//", `//user:${SECRET}@`);
}

/** Paths below `folder` of files that hold `text`. */
function filesWith(folder: string, text: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && readFileSync(path).includes(text)) found.push(path);
  }
  return found;
}

test("A url comes once for all workers, though its connection breaks", async () => {
  await using scratch = await Scratch.open();
  await using server = await UrlServer.open((request, response, count) => {
    const breaks = count === 1 ? { breaksAfter: 150_000 } : {};
    serveDocument(request, response, { bytes: BYTES, etag: '"1"', ...breaks });
  });
  await using manager = await Manager.start({ policies: { waitForWorkers: 3 } });
  const workers = await Promise.all([1, 2, 3].map(() => scratch.worker(manager)));
  const data = manager.url(withUser(server.url("/data?key=" + SECRET)));
  const tasks = Array.from(
    { length: 6 },
    () => manager.submit({ command: "sleep 0.2; sha256sum < data", inputs: { data } }),
  );
  for (const task of tasks) {
    const { outcome, stdout, message } = await task;
    expect([outcome, message, stdout.split(" ")[0]]).toEqual(["success", "", DIGEST]);
  }
  expect(data.replicaCount).toBe(3);
  const { headers } = server.heard[1]!;
  expect(server.heard.map(({ line }) => line.split("?")[0])).toEqual(["GET /data", "GET /data"]);
  expect([headers["range"] === undefined, headers["if-range"]]).toEqual([false, '"1"']);
  expect(headers["authorization"]).toBe(`Basic ${btoa(`user:${SECRET}`)}`);
  expect(manager.status().bytes.urlToWorker).toBe(400_000);
  expect(workers.map(({ said }) => said()).join("")).not.toContain(SECRET);
  expect(filesWith(scratch.folder, SECRET)).toEqual([]);
}, 120_000);

test(
  "A url for longer than the workflow is named by its ETag, and nothing else is taken",
  async () => {
    await using scratch = await Scratch.open();
    let etag = '"1"';
    let bytes = BYTES;
    await using server = await UrlServer.open((request, response) => {
      const isLate = request.method === "GET" && request.url === "/changing";
      serveDocument(request, response, { bytes, etag: isLate ? '"late"' : etag });
    });
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const read = async (options: object, path = "/data") => {
      const data = manager.url(server.url(path), { cache: "worker", ...options });
      return await manager.submit({ command: "sha256sum < data", inputs: { data } });
    };
    for (let round = 0; round < 2; round++) {
      expect((await read({})).stdout).toStartWith(DIGEST);
    }
    // The second one was asked for its name only.
    expect(server.lines()).toEqual(["HEAD /data", "GET /data", "HEAD /data"]);
    [etag, bytes] = ['"2"', someBytes(1_000, 5)];
    expect((await read({})).stdout).toStartWith(sha256(bytes));
    expect(await read({}, "/changing")).toMatchObject({
      outcome: "input_modified",
      message: expect.stringContaining(
        `"${server.url("/changing")}" has changed: it was "2" when it was named, and is "late"`,
      ),
    });
    expect((await read({ sha256: sha256(bytes) })).stdout).toStartWith(sha256(bytes));
    const other = sha256(new Uint8Array(9));
    const refused = await read({ sha256: other });
    expect(refused.outcome).toBe("transfer_failed");
    expect(refused.message).toContain(`${sha256(bytes)} where ${other} was expected`);
  },
  120_000,
);

test("A url that cannot be had fails its tasks, with what its server said", async () => {
  await using scratch = await Scratch.open();
  await using server = await UrlServer.open((request, response) => {
    if (request.url === "/busy") {
      response.writeHead(429, { "Retry-After": "9000" }).end("later");
    } else response.writeHead(404).end("no such thing");
  });
  await using manager = await Manager.start();
  await scratch.worker(manager);
  const missing = manager.url(withUser(server.url("/missing")));
  const tasks = [1, 2, 3].map(() => manager.submit({ command: "cat x", inputs: { x: missing } }));
  for (const task of tasks) {
    const { outcome, message } = await task;
    expect(outcome).toBe("transfer_failed");
    expect(message).toContain(`"${server.url("/missing")}" answered 404 Not Found: no such thing`);
    expect(message).not.toContain(SECRET);
  }
  const busy = await manager.submit({
    command: "cat x",
    inputs: { x: manager.url(server.url("/busy")) },
  });
  expect(busy.message).toContain("asks to be left alone for 9000 s");
  const named = manager.url(withUser(server.url("/missing")), { cache: "forever" });
  const unnamed = await manager.submit({ command: "cat x", inputs: { x: named } });
  expect(unnamed.outcome).toBe("input_missing");
  expect(unnamed.message).not.toContain(SECRET);
  const gone = manager.url(pathToFileURL(scratch.path("gone")));
  const lost = await manager.submit({ command: "cat x", inputs: { x: gone } });
  expect(lost.message).toContain(`"${scratch.path("gone")}" cannot be read on this worker`);
}, 120_000);

test("A file url brings files and directories as they are", async () => {
  await using scratch = await Scratch.open();
  mkdirSync(scratch.path("tree", "sub"), { recursive: true });
  writeFileSync(scratch.path("tree", "sub", "a"), "in a tree");
  writeFileSync(scratch.path("run"), "#!/bin/sh\necho ran\n", { mode: 0o755 });
  await using manager = await Manager.start();
  await scratch.worker(manager);
  for (const cache of ["workflow", "worker"] as const) {
    const inputs = {
      tree: manager.url(pathToFileURL(scratch.path("tree")), { cache }),
      run: manager.url(pathToFileURL(scratch.path("run")), { cache }),
    };
    const { stdout, message } = await manager.submit({ command: "cat tree/sub/a; ./run", inputs });
    expect([message, stdout]).toEqual(["", "in a treeran\n"]);
  }
  await using server = await UrlServer.open((_request, response) => {
    response.end("#!/bin/sh\necho fetched\n");
  });
  const program = manager.url(server.url(), { mode: 0o755 });
  const { stdout } = await manager.submit({ command: "./program", inputs: { program } });
  expect(stdout).toBe("fetched\n");
}, 120_000);

test(
  "Outputs are stored at urls before their task has succeeded, and can be read by others",
  async () => {
    await using scratch = await Scratch.open();
    const bodies: string[] = [];
    await using server = await UrlServer.open(async (request, response, count) => {
      const body = await bodyOf(request);
      if (request.url === "/forbidden") return void response.writeHead(403).end("not here");
      if (request.method === "PUT" && count === 1) return void response.writeHead(500).end();
      bodies.push(`${request.method} ${request.url} ${body}`);
      response.writeHead(204).end();
    });
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const made = scratch.path("deep", "made");
    const [put, file, tree] = [
      manager.url(withUser(server.url("/out"))),
      manager.url(pathToFileURL(made), { mode: 0o640 }),
      manager.url(pathToFileURL(scratch.path("tree"))),
    ];
    const outputs = { put, file, tree };
    const command = "echo put > put; echo file > file; mkdir tree; echo tree > tree/a";
    const task = manager.submit({ command, outputs });
    const reader = manager.submit({ command: "cat put file tree/a", inputs: outputs });
    expect(await task).toMatchObject({ outcome: "success", message: "" });
    expect(bodies).toEqual(["PUT /out put\n"]);
    expect(readFileSync(made, "utf8")).toBe("file\n");
    expect(statSync(made).mode & 0o777).toBe(0o640);
    expect(readFileSync(scratch.path("tree", "a"), "utf8")).toBe("tree\n");
    expect((await reader).stdout).toBe("put\nfile\ntree\n");
    expect(readdirSync(scratch.path("deep"))).toEqual(["made"]);
    expect(manager.status().bytes.workerToUrl).toBeGreaterThan(9);

    const refused = await manager.submit({
      command: "echo x > x",
      outputs: { x: manager.url(withUser(server.url("/forbidden"))) },
    });
    expect(refused.outcome).toBe("transfer_failed");
    expect(refused.message).toContain(
      `at "${server.url("/forbidden")}": "${
        server.url("/forbidden")
      }" answered 403 Forbidden: not here`,
    );
    const folder = await manager.submit({
      command: "mkdir x",
      outputs: { x: manager.url(server.url("/folder")) },
    });
    expect(folder.message).toContain("it is a directory, and a server takes files only");
    expect(filesWith(scratch.folder, SECRET)).toEqual([]);
  },
  120_000,
);

test("A worker that is lost while it stores an output is made up for by another", async () => {
  await using scratch = await Scratch.open();
  const bodies: string[] = [];
  await using server = await UrlServer.open(async (request, response, count) => {
    request.on("error", () => {
      // The worker is killed.
    });
    // The first worker has begun, and gets no answer.
    if (count === 1) return void request.resume();
    bodies.push(sha256(await bodyOf(request)));
    response.writeHead(204).end();
  });
  await using manager = await Manager.start();
  const first = await scratch.worker(manager);
  const command = "seq 100000 > out";
  const task = manager.submit({ command, outputs: { out: manager.url(server.url()) } });
  await until(() => server.heard.length === 1, "the output is on its way");
  first.child.kill("SIGKILL");
  await scratch.worker(manager);
  expect(await task).toMatchObject({ outcome: "success", try: 2 });
  expect(bodies).toHaveLength(1);
}, 120_000);

test(
  "A url is started anew that has no validator, and never joined from two versions",
  async () => {
    await using scratch = await Scratch.open();
    const [old, now] = [someBytes(300_000, 2), someBytes(300_000, 3)];
    await using server = await UrlServer.open((request, response, count) => {
      if (count > 1) return serveDocument(request, response, { bytes: now, etag: "" });
      response.writeHead(200, { "Content-Length": old.length });
      sendAndBreak(response, old.subarray(0, 200_000));
    });
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const data = manager.url(server.url());
    const { stdout } = await manager.submit({ command: "sha256sum < data", inputs: { data } });
    expect(stdout).toStartWith(sha256(now));
  },
  120_000,
);
