import { expect, test } from "bun:test";
import { createHash } from "node:crypto";

import { downloadUrl, type UrlContents } from "../../../shared/url/download.ts";
import { UrlError } from "../../../shared/url/request.ts";
import { sendAndBreak, serveDocument, someBytes, UrlServer } from "../../url_server.ts";

const NO_SIGNAL = new AbortController().signal;
const [OLD, NEW] = [someBytes(400_000), someBytes(400_000, 7)];

function contentsOf(url: string, wish: Partial<UrlContents> = {}): UrlContents {
  return { url, validator: "", sizeBytes: -1, silenceMsMax: 60_000, ...wish };
}

/** What came of the last passage. */
async function bytesOf(source: UrlContents): Promise<Uint8Array> {
  return await downloadUrl(source, NO_SIGNAL, async (chunks) => {
    return Buffer.concat(await Array.fromAsync(chunks));
  });
}

async function failureOf(source: UrlContents): Promise<UrlError> {
  const error = await bytesOf(source).then(() => undefined, (error: unknown) => error);
  expect(error).toBeInstanceOf(UrlError);
  return error as UrlError;
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

test("downloadUrl() goes on where the connection broke, of a strong ETag", async () => {
  await using server = await UrlServer.open((request, response, count) => {
    const breaks = count < 3 ? { breaksAfter: 150_000 } : {};
    serveDocument(request, response, { bytes: OLD, etag: '"1"', ...breaks });
  });
  expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
  expect(server.heard).toHaveLength(3);
  expect(server.heard[0]!.headers["range"]).toBeUndefined();
  for (const { headers } of server.heard.slice(1)) {
    expect(headers["range"]).toMatch(/^bytes=[1-9]\d*-$/);
    expect(headers["if-range"]).toBe('"1"');
  }
});

test("downloadUrl() goes on by a Last-Modified that is old enough", async () => {
  const modified = new Date(Date.now() - 3_600_000).toUTCString();
  await using server = await UrlServer.open((request, response, count) => {
    const headers = { "Last-Modified": modified };
    const isSame = request.headers["if-range"] === modified;
    if (isSame) delete request.headers["if-range"];
    const breaks = count < 2 ? { breaksAfter: 150_000 } : {};
    serveDocument(request, response, { bytes: OLD, etag: "", headers, ...breaks });
  });
  expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
  expect(server.heard.at(-1)!.headers["if-range"]).toBe(modified);
});

for (const [etag, what] of [["", "no ETag"], ['W/"1"', "a weak ETag"]] as const) {
  test(`downloadUrl() starts anew what broke off, of ${what}`, async () => {
    await using server = await UrlServer.open((request, response, count) => {
      const breaks = count < 2 ? { breaksAfter: 150_000 } : {};
      serveDocument(request, response, { bytes: OLD, etag, ...breaks });
    });
    expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
    expect(server.lines("range")).toEqual(["GET /data", "GET /data"]);
  });
}

test("downloadUrl() takes the rest from a server that ignores the range", async () => {
  await using server = await UrlServer.open((request, response, count) => {
    const breaks = count < 2 ? { breaksAfter: 150_000 } : {};
    serveDocument(request, response, { bytes: OLD, etag: '"1"', hasRanges: false, ...breaks });
  });
  expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
  expect(server.heard).toHaveLength(2);
});

test("downloadUrl() never joins bytes of two versions", async () => {
  for (const hasRanges of [true, false]) {
    for (const etags of [['"1"', '"2"'], ['"1"', 'W/"1"'], ['"1"', ""]] as const) {
      await using server = await UrlServer.open((request, response, count) => {
        const isFirst = count === 1;
        const bytes = isFirst ? OLD : NEW;
        const breaks = isFirst ? { breaksAfter: 150_000 } : {};
        serveDocument(request, response, {
          bytes,
          etag: etags[isFirst ? 0 : 1],
          hasRanges,
          ...breaks,
        });
      });
      expect(isEqual(await bytesOf(contentsOf(server.url())), NEW)).toBe(true);
    }
  }
});

test("downloadUrl() starts anew where a server sends another part, or another document's", async () => {
  const parts = [
    { range: "bytes 5-399999/400000", etag: '"1"' },
    { range: undefined, etag: '"1"' },
    { range: "START-399999/400001", etag: '"1"' },
    { range: "START-399999/400000", etag: '"2"' },
  ];
  for (const part of parts) {
    await using server = await UrlServer.open((request, response, count) => {
      const { range } = request.headers;
      if (range === undefined || count > 2) {
        const breaks = count === 1 ? { breaksAfter: 150_000 } : {};
        return serveDocument(request, response, { bytes: OLD, etag: '"1"', ...breaks });
      }
      const start = Number(/\d+/.exec(range)![0]);
      response.writeHead(206, {
        ETag: part.etag,
        ...(part.range && { "Content-Range": part.range.replace("START", `bytes ${start}`) }),
      });
      response.end(NEW.subarray(start));
    });
    expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
    expect(server.heard).toHaveLength(3);
  }
});

test("downloadUrl() is done when what broke off had all of an unknown length", async () => {
  await using server = await UrlServer.open((request, response, count) => {
    if (count > 1) return serveDocument(request, response, { bytes: OLD, etag: '"1"' });
    response.writeHead(200, { ETag: '"1"' });
    sendAndBreak(response, OLD);
  });
  expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
});

test("downloadUrl() starts anew when nothing is left where it broke off", async () => {
  const short = NEW.subarray(0, 1_000);
  await using server = await UrlServer.open((request, response, count) => {
    if (count === 2) return void response.writeHead(416).end();
    const breaks = count === 1 ? { breaksAfter: 150_000 } : {};
    serveDocument(request, response, { bytes: count === 1 ? OLD : short, etag: '"1"', ...breaks });
  });
  expect(isEqual(await bytesOf(contentsOf(server.url())), short)).toBe(true);
});

test("downloadUrl() waits as it is told to, and asks again", async () => {
  const answers = [[429, "0"], [503, "0"], [503, new Date(0).toUTCString()]] as const;
  await using server = await UrlServer.open((request, response, count) => {
    const answer = answers[count - 1];
    if (answer === undefined) {
      return serveDocument(request, response, { bytes: OLD, etag: '"1"' });
    }
    response.writeHead(answer[0], { "Retry-After": answer[1] }).end();
  });
  expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
  expect(server.heard).toHaveLength(4);
});

test("downloadUrl() gives up what asks for more patience than there is", async () => {
  await using server = await UrlServer.open((_request, response) => {
    response.writeHead(429, { "Retry-After": "3600" }).end("Too much");
  });
  const { kind, message } = await failureOf(contentsOf(server.url()));
  expect(kind).toBe("refused");
  expect(message).toBe(
    `"${server.url()}" answered 429 Too Many Requests: Too much, ` +
      "and asks to be left alone for 3600 s",
  );
  expect(server.heard).toHaveLength(1);
});

test("downloadUrl() gives up after five failures in a row", async () => {
  await using server = await UrlServer.open((_request, response) => {
    response.writeHead(503, { "Retry-After": "0" }).end();
  });
  const { kind, message } = await failureOf(contentsOf(server.url()));
  expect(kind).toBe("broken");
  expect(message).toBe(`"${server.url()}" answered 503 Service Unavailable, 5 times`);
  expect(server.heard).toHaveLength(5);
});

for (const status of [401, 403, 404, 410]) {
  test(`downloadUrl() asks once where the answer is ${status}`, async () => {
    await using server = await UrlServer.open((_request, response) => {
      response.writeHead(status, { "Content-Type": "text/plain" }).end("\n no such\r\nthing");
    });
    const { kind, message } = await failureOf(contentsOf(server.url("/x?key=secret")));
    expect(kind).toBe("refused");
    expect(message).toStartWith(`"${server.url("/x")}" answered ${status} `);
    expect(message).toEndWith(": no such");
    expect(server.heard).toHaveLength(1);
  });
}

test("downloadUrl() refuses contents other than those that were named", async () => {
  await using server = await UrlServer.open((request, response) => {
    serveDocument(request, response, { bytes: NEW, etag: '"2"' });
  });
  const named = await failureOf(contentsOf(server.url(), { validator: '"1"' }));
  expect(named.kind).toBe("changed");
  expect(named.message).toBe(
    `"${server.url()}" has changed: it was "1" when it was named, and is "2"`,
  );
  const sized = await failureOf(contentsOf(server.url(), { sizeBytes: 5 }));
  expect(sized.kind).toBe("changed");
  expect(sized.message).toContain("it has 400000 bytes where 5 were expected");
  const same = await bytesOf(contentsOf(server.url(), { validator: '"2"', sizeBytes: 400_000 }));
  expect(isEqual(same, NEW)).toBe(true);
});

test("downloadUrl() fetches anew what has not the digest that its server states", async () => {
  const md5 = createHash("md5").update(OLD).digest("base64");
  await using server = await UrlServer.open((request, response, count) => {
    const damaged = OLD.slice();
    damaged[1_000]! ^= 1;
    const bytes = count === 1 ? damaged : OLD;
    serveDocument(request, response, { bytes, etag: '"1"', headers: { "Content-MD5": md5 } });
  });
  expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
  expect(server.heard).toHaveLength(2);
});

test("downloadUrl() keeps contents as they are, encoded or not", async () => {
  await using server = await UrlServer.open((request, response) => {
    const headers = { "Content-Encoding": "gzip", "Content-Type": "application/x-tar" };
    serveDocument(request, response, { bytes: OLD, etag: '"1"', headers });
  });
  expect(isEqual(await bytesOf(contentsOf(server.url())), OLD)).toBe(true);
  expect(server.heard[0]!.headers["accept-encoding"]).toBe("identity");
});

test("downloadUrl() ends when it is told to", async () => {
  await using server = await UrlServer.open((_request, response) => {
    response.writeHead(200);
    response.write("some");
  });
  const controller = new AbortController();
  const taken = downloadUrl(contentsOf(server.url()), controller.signal, async (chunks) => {
    for await (const _chunk of chunks) controller.abort(new Error("enough"));
  });
  expect(await taken.catch((error: unknown) => (error as Error).message)).toBe("enough");
});
