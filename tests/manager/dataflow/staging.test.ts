import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { dirname, join } from "@std/path";

import { File } from "../../../manager/dataflow/file.ts";
import { LOCAL_STAGING } from "../../../manager/dataflow/local_staging.ts";
import { PlacedFile } from "../../../manager/dataflow/placed_file.ts";
import { type Staging, StagingError } from "../../../manager/dataflow/staging.ts";
import { URL_STAGING } from "../../../manager/dataflow/url_staging.ts";
import { ZIP_STAGING } from "../../../manager/dataflow/zip_staging.ts";
import { contentsAt, stagingContract, TestSite } from "../../contract/staging.ts";
import { FtpServer } from "../../ftp_server.ts";
import { serveDocument, UrlServer } from "../../url_server.ts";

function newFolder(): { readonly path: string } & AsyncDisposable {
  const path = mkdtempSync(join(tmpdir(), "tendril-staging-"));
  const remove = (): Promise<void> => Promise.resolve(rmSync(path, { recursive: true }));
  return { path, [Symbol.asyncDispose]: remove };
}

stagingContract("LOCAL_STAGING", () => {
  const { path: folder, ...disposable } = newFolder();
  return Promise.resolve({
    ...disposable,
    staging: LOCAL_STAGING,
    file: (name, bytes) => {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
      return Promise.resolve(new File(path));
    },
    target: (name) => new File(join(folder, name)),
    contents: ({ path }) => Promise.resolve(contentsAt(path)),
    unwritable: () => {
      writeFileSync(join(folder, "in-the-way"), "");
      return Promise.resolve(new File(join(folder, "in-the-way", "a.txt")));
    },
  });
});

stagingContract("URL_STAGING of HTTP", async () => {
  const stored = new Map<string, Uint8Array>();
  const server = await UrlServer.open(async (request, response) => {
    const { method, url = "" } = request;
    if (url.startsWith("/closed")) return void response.writeHead(403).end();
    if (method === "PUT") {
      const parts: Uint8Array[] = [];
      for await (const part of request) parts.push(part as Uint8Array);
      stored.set(url, new Uint8Array(Buffer.concat(parts)));
      return void response.writeHead(201).end();
    }
    const bytes = stored.get(url);
    if (bytes === undefined) return void response.writeHead(404).end("no such document");
    serveDocument(request, response, { bytes, etag: "" });
  });
  return {
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    staging: URL_STAGING,
    file: (name, bytes) => {
      stored.set(`/${name}`, bytes);
      return Promise.resolve(new File(server.url(`/${name}`)));
    },
    target: (name) => new File(server.url(`/${name}`)),
    contents: ({ path }) => Promise.resolve(stored.get(path)),
    unwritable: () => Promise.resolve(new File(server.url("/closed/a.txt"))),
  };
});

stagingContract("URL_STAGING of FTP", async () => {
  const server = await FtpServer.open();
  const closed = await FtpServer.open({ canWrite: false });
  return {
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await closed[Symbol.asyncDispose]();
    },
    staging: URL_STAGING,
    file: (name, bytes) => {
      server.files.set(name, bytes);
      return Promise.resolve(new File(server.url(name)));
    },
    target: (name) => new File(server.url(name)),
    contents: ({ path }) => Promise.resolve(server.files.get(path.slice(1))),
    unwritable: () => Promise.resolve(new File(closed.url("a.txt"))),
  };
});

stagingContract("ZIP_STAGING", () => {
  const { path: folder, ...disposable } = newFolder();
  const target = (name: string): File => new File(`zip:${folder}/deep/a.zip/${name}`);
  return Promise.resolve({
    ...disposable,
    staging: ZIP_STAGING,
    file: async (name, bytes) => {
      using site = new TestSite();
      await ZIP_STAGING.stageOut(target(name), site.made(bytes), site);
      return target(name);
    },
    target,
    contents: async (file) => {
      using site = new TestSite();
      try {
        return await (await ZIP_STAGING.stageIn(file, site)).contents();
      } catch (error) {
        if (error instanceof StagingError && error.kind === "input_missing") return undefined;
        throw error;
      }
    },
    unwritable: () => {
      writeFileSync(join(folder, "b.zip"), "no archive, but a text of some length");
      return Promise.resolve(new File(`zip:${folder}/b.zip/a.txt`));
    },
  });
});

stagingContract("a staging of one's own", () => {
  const stored = new Map<string, Uint8Array>();
  const staging: Staging = {
    name: "shelf",
    schemes: ["shelf"],
    canStageIn: ({ scheme }) => scheme === "shelf",
    canStageOut: ({ scheme }) => scheme === "shelf",
    async stageIn(file, { newPath }) {
      const bytes = stored.get(file.path);
      if (bytes === undefined) throw new StagingError("input_missing", `no "${file.path}"`);
      const path = await newPath(file.name);
      writeFileSync(path, bytes);
      return new PlacedFile({ kind: "path", path });
    },
    async stageOut(file, made, { signal }) {
      signal.throwIfAborted();
      if (file.path.startsWith("/closed")) throw new Error(`"${file.path}" is closed`);
      stored.set(file.path, await made.contents());
    },
  };
  return Promise.resolve({
    [Symbol.asyncDispose]: () => Promise.resolve(),
    staging,
    file: (name, bytes) => {
      stored.set(`/${name}`, bytes);
      return Promise.resolve(new File(`shelf:/${name}`));
    },
    target: (name) => new File(`shelf:/${name}`),
    contents: ({ path }) => Promise.resolve(stored.get(path)),
    unwritable: () => Promise.resolve(new File("shelf:/closed/a.txt")),
  });
});
