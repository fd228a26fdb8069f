import { expect, test } from "bun:test";
import { once } from "node:events";
import { createServer as createPlainServer, type ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Server as NetServer } from "node:net";

import { type KeyPair, newCertificate } from "../../shared/certificate.ts";
import { requestUrl } from "../../shared/url/request.ts";
import { download, DownloadError, type DownloadSource } from "../../worker/download.ts";
import { BlackHole } from "./black_hole.ts";

const TICKET = "Tendril a-secret";

/** Long enough for a server of this machine, and short enough for a test. */
const CONNECT_MS = 300;

const NO_SIGNAL = new AbortController().signal;

const known = await newCertificate([]);

function sourceOf(urls: readonly string[], wish: Partial<DownloadSource> = {}): DownloadSource {
  return {
    urls,
    connectMsMax: CONNECT_MS,
    headers: { Authorization: TICKET },
    sizeBytes: -1,
    etag: "",
    silenceMsMax: 30_000,
    ...wish,
  };
}

async function textOf(source: DownloadSource): Promise<string> {
  const parts = await Array.fromAsync(download(source, NO_SIGNAL));
  return Buffer.concat(parts).toString();
}

async function failureOf(source: DownloadSource): Promise<DownloadError> {
  const failure = await textOf(source).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(DownloadError);
  expect(Bun.inspect(failure)).not.toContain("a-secret");
  return failure as DownloadError;
}

/** Closes a server of this machine with its connections. */
async function listen(server: Server | NetServer): Promise<{ host: string } & AsyncDisposable> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      if ("closeAllConnections" in server) server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function secureServer(tls: KeyPair): Server {
  const options = { cert: tls.certificate, key: tls.key };
  return createServer(options, (_request, response) => void response.end("here"));
}

test("download() goes past addresses that take no connection, and past strangers", async () => {
  await using hole = await BlackHole.open();
  await using stranger = await listen(secureServer(await newCertificate([])));
  await using server = await listen(secureServer(known));
  const urls = [hole, stranger, server].map(({ host }) => `https://${host}/`);
  const answered: string[] = [];
  const source = sourceOf(urls, {
    certificate: known.certificate,
    answered: (url) => answered.push(url),
  });
  expect(await textOf(source)).toBe("here");
  expect(answered).toEqual([`https://${server.host}/`]);
});

test("download() says that nobody takes a connection, within twice the limit", async () => {
  await using hole = await BlackHole.open();
  const failure = await failureOf(sourceOf([`http://${hole.host}/`]));
  expect(failure.kind).toBe("unreachable");
  expect(failure.message).toBe(`"${hole.host}" takes no connection`);
});

test("download() tells silence of who takes no connection from that of who says nothing", async () => {
  await using hole = await BlackHole.open();
  const silenceMsMax = 500;
  const nobody = await failureOf(sourceOf([`http://${hole.host}/`], { silenceMsMax }));
  expect(nobody.kind).toBe("unreachable");
  await using silent = await listen(createPlainServer(() => {}));
  const mute = await failureOf(sourceOf([`http://${silent.host}/`], { silenceMsMax }));
  expect([mute.kind, mute.message]).toEqual(["broken", "nothing came for 500 ms"]);
});

test("download() waits for its reader as long as that takes", async () => {
  // More than is on its way at a time.
  const sizeBytes = 20_000_000;
  const server = createPlainServer((_request, response) => {
    response.end(new Uint8Array(sizeBytes));
  });
  await using here = await listen(server);
  const silenceMsMax = 1_000;
  const source = sourceOf([`http://${here.host}/`], { silenceMsMax, sizeBytes });
  let [count, came] = [0, 0];
  for await (const part of download(source, NO_SIGNAL)) {
    came += part.length;
    count += 1;
    if (count > 2) continue;
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 1.2 * silenceMsMax);
    await promise;
  }
  expect(came).toBe(sizeBytes);
});

test("download() says that nobody proved to be the server that is meant", async () => {
  await using stranger = await listen(secureServer(await newCertificate([])));
  await using plain = await listen(createPlainServer((_request, response) => response.end("no")));
  const urls = [`https://${plain.host}/`, `https://${stranger.host}/`];
  const failure = await failureOf(sourceOf(urls, { certificate: known.certificate }));
  expect(failure.kind).toBe("unreachable");
  expect(failure.message).toContain("it has another certificate than the one known of it");
});

test("download() says that every address refuses connections", async () => {
  const gone = await listen(createPlainServer());
  await gone[Symbol.asyncDispose]();
  const failure = await failureOf(sourceOf([`http://${gone.host}/`, `http://${gone.host}/`]));
  expect(failure.kind).toBe("unreachable");
});

test("download() waits for a server that takes connections and thinks", async () => {
  let connectionCount = 0;
  const asked = Promise.withResolvers<() => void>();
  const server = createPlainServer((_request, response) => {
    asked.resolve(() => void response.end("here"));
  });
  // The second connection is the one by which it finds out; only then is there an answer.
  const probed = Promise.withResolvers<void>();
  server.on("connection", (socket) => {
    connectionCount += 1;
    if (connectionCount === 2) socket.once("close", () => probed.resolve());
  });
  await using slow = await listen(server);
  const text = textOf(sourceOf([`http://${slow.host}/`], { connectMsMax: 20 }));
  const answer = await asked.promise;
  await probed.promise;
  answer();
  expect(await text).toBe("here");
});

test("download() tells a server that breaks off from one that cannot be reached", async () => {
  const server = createPlainServer((_request, response) => {
    response.writeHead(200, { "Content-Length": 100 });
    response.write("some", () => response.destroy());
  });
  await using broken = await listen(server);
  expect((await failureOf(sourceOf([`http://${broken.host}/`]))).kind).toBe("broken");
});

test("download() goes on over TLS where the connection broke", async () => {
  const contents = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index >>> 3));
  const asked: (string | undefined)[] = [];
  const options = { cert: known.certificate, key: known.key };
  const server = createServer(options, (request, response) => {
    const { range } = request.headers;
    asked.push(range);
    const start = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
    response.writeHead(range === undefined ? 200 : 206, {
      "Content-Length": contents.length - start,
      ETag: '"digest"',
      ...(range && {
        "Content-Range": `bytes ${start}-${contents.length - 1}/${contents.length}`,
      }),
    });
    if (range !== undefined) response.end(contents.subarray(start));
    else response.write(contents.subarray(0, 100_000));
    broken ??= response;
  });
  let broken: ServerResponse | undefined;
  await using breaking = await listen(server);
  const source = sourceOf([`https://${breaking.host}/`], {
    certificate: known.certificate,
    etag: '"digest"',
    sizeBytes: contents.length,
  });
  const parts: Uint8Array[] = [];
  for await (const part of download(source, NO_SIGNAL)) {
    parts.push(part);
    // Not before: what is under way when a connection breaks may be lost with it.
    broken?.destroy();
  }
  expect(Buffer.concat(parts).equals(contents)).toBe(true);
  expect(asked.length).toBeGreaterThan(1);
  expect(asked.at(-1)).toStartWith("bytes=");
});

test("download() asks managers and peers directly, and urls by way of the cluster's proxy", async () => {
  const before = process.env["HTTP_PROXY"];
  const [own, proxy] = ["direct", "by the proxy"].map((text) =>
    createPlainServer((_request, response) => response.end(text))
  );
  try {
    for (const server of [own!, proxy!]) await once(server.listen(0, "127.0.0.1"), "listening");
    const urlOf = (server: NetServer) =>
      `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    process.env["HTTP_PROXY"] = urlOf(proxy!);
    expect(await textOf(sourceOf([urlOf(own!)]))).toBe("direct");
    const request = { method: "GET", headers: {}, signal: NO_SIGNAL } as const;
    const { response } = await requestUrl(urlOf(own!), request);
    expect(await response.text()).toBe("by the proxy");
  } finally {
    if (before === undefined) delete process.env["HTTP_PROXY"];
    else process.env["HTTP_PROXY"] = before;
    for (const server of [own!, proxy!]) server.close();
  }
});
