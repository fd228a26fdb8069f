import { expect, test } from "bun:test";

import { downloadUrl } from "../../../shared/url/download.ts";
import { UrlError } from "../../../shared/url/request.ts";
import { uploadUrl } from "../../../shared/url/upload.ts";
import { FtpServer } from "../../ftp_server.ts";
import { someBytes } from "../../url_server.ts";

const never = new AbortController().signal;

async function get(url: string, signal: AbortSignal = never): Promise<Uint8Array> {
  const source = { url, validator: "", sizeBytes: -1, silenceMsMax: 10_000 };
  return await downloadUrl(source, signal, async (chunks) => {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    return new Uint8Array(Buffer.concat(parts));
  });
}

async function put(url: string, bytes: Uint8Array): Promise<void> {
  const open = async function* (): AsyncGenerator<Uint8Array, void> {
    yield bytes.subarray(0, bytes.length / 2);
    yield bytes.subarray(bytes.length / 2);
  };
  await uploadUrl(url, { sizeBytes: bytes.length, open }, never);
}

async function failure(work: Promise<unknown>): Promise<UrlError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof UrlError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}

test("downloadUrl() reads from an FTP server as anonymous, and as a user", async () => {
  const bytes = someBytes(30_000);
  await using server = await FtpServer.open({
    files: { "pub/a b.bin": bytes },
    users: { ann: "s3:cret" },
  });
  expect(await get(server.url("pub/a%20b.bin"))).toEqual(bytes);
  expect(await get(server.url("pub/a%20b.bin", "ann:s3%3Acret@"))).toEqual(bytes);
  expect(server.heard).toContain("PASS s3:cret");
});

test("downloadUrl() asks the host that it knows for data, whatever an old server says", async () => {
  await using server = await FtpServer.open({ files: { a: someBytes(10) }, isOld: true });
  expect(await get(server.url("a"))).toEqual(someBytes(10));
  expect(server.count("PASV")).toBe(1);
});

test("downloadUrl() goes on where an FTP server broke off", async () => {
  const bytes = someBytes(30_000);
  await using server = await FtpServer.open({ files: { a: bytes }, breaksAfter: 10_000 });
  expect(await get(server.url("a"))).toEqual(bytes);
  expect(server.count("REST")).toBe(1);
});

test("downloadUrl() takes no file for whole that an FTP server cut short", async () => {
  const bytes = someBytes(1_000);
  await using server = await FtpServer.open({ files: { a: bytes }, cutsBytes: 10 });
  expect(await get(server.url("a"))).toEqual(bytes);
  expect(server.heard).toContain("REST 990");
});

test("downloadUrl() says what an FTP server said, and no password", async () => {
  await using server = await FtpServer.open({ users: { ann: "secret" } });
  const missing = await failure(get(server.url("nope")));
  expect(missing.kind).toBe("refused");
  expect(missing.message).toBe(`"${server.url("nope")}" answered 550 No such file`);
  const wrong = await failure(get(server.url("nope", "ann:guess@")));
  expect(wrong.kind).toBe("refused");
  expect(wrong.message).toBe(`"${server.url("nope")}" answered 530 Wrong password`);
});

test("downloadUrl() sends no line break that a url of FTP holds", async () => {
  await using server = await FtpServer.open();
  const error = await failure(get(server.url("a%0d%0aDELE%20b")));
  expect(error.message).toContain("holds a line break");
  expect(server.count("DELE")).toBe(0);
});

test("downloadUrl() ends with its signal while an FTP server is silent", async () => {
  await using server = await FtpServer.open({ files: { a: someBytes(10) } });
  const controller = new AbortController();
  const getting = get(server.url("a"), controller.signal);
  controller.abort(new Error("enough"));
  await expect(getting).rejects.toThrow("enough");
});

test("uploadUrl() stores beside the place of an FTP server's file, and renames", async () => {
  await using server = await FtpServer.open();
  await put(server.url("up/deep/a.bin"), someBytes(20_000));
  await put(server.url("up/deep/a.bin"), someBytes(100, 7));
  expect([...server.files.keys()]).toEqual(["up/deep/a.bin"]);
  expect(server.files.get("up/deep/a.bin")).toEqual(someBytes(100, 7));
  expect(server.heard.filter((line) => line.startsWith("STOR up/deep/.tendril-")).length).toBe(2);
  expect(server.heard).toContain("MKD up/deep");
});

test("uploadUrl() says what an FTP server refused with", async () => {
  await using server = await FtpServer.open({ canWrite: false });
  const error = await failure(put(server.url("a"), someBytes(10)));
  expect(error.message).toBe(`"${server.url("a")}" answered 550 Not for you`);
});
