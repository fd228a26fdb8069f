/** What serve(), connect() and pinnedFetch() promise of TLS; the same on Bun and on Deno. */

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";

import { Hono } from "hono";

import { type KeyPair, newCertificate } from "../../../shared/certificate.ts";
import { connect } from "../../../shared/runtime/connect.ts";
import { pinnedFetch } from "../../../shared/runtime/fetch.ts";
import { PinError } from "../../../shared/runtime/pin.ts";
import { serve, type Server, upgradeSocket } from "../../../shared/runtime/serve.ts";
import { newAuthority } from "../authority.ts";

const MEGABYTE = 1_000_000;

/** Of pieces that differ, so that a body that is out of order is another one. */
const BODY: Uint8Array<ArrayBuffer> = Uint8Array.from(
  { length: 10 * MEGABYTE },
  (_, index) => (index * 2654435761) >>> 13,
);

const authority = await newAuthority();
const known = await newCertificate([]);

/** A server on a free port of this machine that echoes bodies and frames. */
class Echo implements AsyncDisposable {
  readonly #server: Server;
  readonly host: string;

  constructor(tls?: KeyPair) {
    const app = new Hono();
    app.get("/body", (context) => context.body(BODY));
    app.get("/certificate", (context) => context.text("a file"));
    app.put("/body", async (context) => context.body(await context.req.arrayBuffer()));
    app.get(
      "/echo",
      upgradeSocket(() => ({ message: (socket, bytes) => socket.send(bytes), close: () => {} })),
    );
    this.#server = serve(app, { tls });
    this.host = `127.0.0.1:${this.#server.port}`;
  }

  /** Both ways to it with `certificate` pinned; rejects as the first that fails does. */
  async reach(certificate: string): Promise<void> {
    const failures = await this.failures(certificate);
    for (const failure of failures) if (failure !== undefined) throw failure;
  }

  /** Why a fetch and a WebSocket fail, each undefined when it does not. */
  async failures(certificate: string, host = this.host): Promise<unknown[]> {
    const outcomes = await Promise.allSettled([
      pinnedFetch(`https://${host}/certificate`, {}, certificate).then((got) => got.text()),
      echoed(`wss://${host}/echo`, new Uint8Array(1), certificate),
    ]);
    return outcomes.map((outcome) => outcome.status === "rejected" ? outcome.reason : undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.close();
  }
}

/** What comes back of `frame`. */
async function echoed(url: string, frame: Uint8Array, certificate?: string): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const handlers = {
    message: (_socket: unknown, bytes: Uint8Array) => resolve(bytes),
    close: () => {},
  };
  const socket = await connect(url, { handlers, certificate });
  socket.send(frame);
  const bytes = await promise;
  socket.close(1000, "");
  return bytes;
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function expectRefused(echo: Echo, certificate: string, found: string) {
  const failures = await echo.failures(certificate);
  expect(failures).toHaveLength(2);
  for (const failure of failures) {
    expect(failure).toBeInstanceOf(PinError);
    expect((failure as PinError).message).toContain(found);
  }
  // It serves those who know it as before.
  await echo.reach(known.certificate);
}

test("pinnedFetch() moves bodies both ways to the server of a certificate", async () => {
  await using echo = new Echo(known);
  const url = `https://${echo.host}/body`;
  const got = await pinnedFetch(url, {}, known.certificate);
  expect(digestOf(await got.bytes())).toBe(digestOf(BODY));
  const put = await pinnedFetch(url, { method: "PUT", body: BODY }, known.certificate);
  expect(digestOf(await put.bytes())).toBe(digestOf(BODY));
});

test("connect() exchanges frames with the server of a certificate", async () => {
  await using echo = new Echo(known);
  const frame = BODY.subarray(0, 5 * MEGABYTE);
  const back = await echoed(`wss://${echo.host}/echo`, frame, known.certificate);
  expect(digestOf(back)).toBe(digestOf(frame));
});

test("pinnedFetch() and connect() refuse another certificate of the same names", async () => {
  await using echo = new Echo(known);
  const other = await newCertificate([]);
  const found = "it has another certificate than the one known of it";
  await expectRefused(echo, other.certificate, found);
  const issued = await authority.issue(["127.0.0.1"]);
  await expectRefused(echo, issued.certificate, found);
  await expectRefused(echo, authority.certificate, "its certificate is for no name");
});

test("pinnedFetch() and connect() refuse an address that the certificate lacks", async () => {
  const wrong = await authority.issue(["node7.example", "10.0.0.7"], { isSelfSigned: true });
  await using echo = new Echo(wrong);
  for (const failure of await echo.failures(wrong.certificate)) {
    expect(failure).toBeInstanceOf(PinError);
    expect((failure as PinError).message).toMatch(
      /its certificate is for DNS:node7.example, IP Address:10.0.0.7$/,
    );
  }
});

test("pinnedFetch() and connect() refuse a certificate that has expired", async () => {
  const wish = { isSelfSigned: true, days: [-9, -3] } as const;
  const expired = await authority.issue(["127.0.0.1"], wish);
  await using echo = new Echo(expired);
  for (const failure of await echo.failures(expired.certificate)) {
    expect(failure).toBeInstanceOf(PinError);
    expect((failure as PinError).message).toContain("its certificate expired on");
  }
});

test("pinnedFetch() and connect() refuse what is no certificate", async () => {
  await using echo = new Echo(known);
  const broken = known.certificate.replace(/M/g, "N");
  for (const certificate of ["", "text", broken, known.key]) {
    await expectRefused(echo, certificate, "what is known of it is no certificate in PEM");
  }
});

test("pinnedFetch() and connect() accept a certificate that stands before its chain", async () => {
  const [own, other] = [await authority.issue(["127.0.0.1"]), await authority.issue(["127.0.0.1"])];
  await using echo = new Echo(own);
  await echo.reach(own.certificate);
  // Deno has no hook by which the certificate itself could be compared.
  const isExact = "Bun" in globalThis;
  for (const failure of await echo.failures(other.certificate)) {
    if (isExact) expect(failure).toBeInstanceOf(PinError);
    else expect(failure).toBe(undefined);
  }
});

test("pinnedFetch() and connect() send nothing in plain where a certificate is wanted", async () => {
  await using echo = new Echo();
  for (const failure of await echo.failures(known.certificate)) {
    expect((failure as PinError).message).toMatch(/^Cannot accept ".*" .*: it speaks no TLS$/);
  }
  const url = `http://${echo.host}/body`;
  await expect(pinnedFetch(url, {}, known.certificate)).rejects.toThrow("it has no TLS");
  const plain = echoed(`ws://${echo.host}/echo`, new Uint8Array(1), known.certificate);
  await expect(plain).rejects.toThrow("it has no TLS");
});

test("serve() with a certificate answers nothing in plain, nor those who do not know it", async () => {
  await using echo = new Echo(known);
  await expect(pinnedFetch(`http://${echo.host}/body`, {})).rejects.toThrow();
  await expect(echoed(`ws://${echo.host}/echo`, new Uint8Array(1))).rejects.toThrow(
    "Cannot connect to",
  );
  await expect(pinnedFetch(`https://${echo.host}/body`, {})).rejects.toThrow();
  await echo.reach(known.certificate);
});

test("pinnedFetch() never uses a connection that was opened for another certificate", async () => {
  await using echo = new Echo(known);
  const other = await newCertificate([]);
  for (let round = 0; round < 3; round++) {
    await echo.reach(known.certificate);
    const refused = pinnedFetch(`https://${echo.host}/body`, {}, other.certificate);
    await expect(refused).rejects.toBeInstanceOf(PinError);
  }
});

test("pinnedFetch() tells a server that is gone from one that is another", async () => {
  const echo = new Echo(known);
  await echo[Symbol.asyncDispose]();
  const failures = await echo.failures(known.certificate);
  for (const failure of failures) expect(failure).not.toBeInstanceOf(PinError);
  expect(failures.every((failure) => failure instanceof Error)).toBe(true);
});

test("pinnedFetch() does not follow redirects away from its server", async () => {
  const app = new Hono();
  app.get("/", (context) => context.redirect("http://127.0.0.1:9/"));
  const server = serve(app, { tls: known });
  const url = `https://127.0.0.1:${server.port}/`;
  await expect(pinnedFetch(url, {}, known.certificate)).rejects.toThrow(/redirect/i);
  await server.close();
});

test("pinnedFetch() serves more certificates than it keeps ready", async () => {
  await using echo = new Echo(known);
  const url = `https://${echo.host}/certificate`;
  const slow = await pinnedFetch(`https://${echo.host}/body`, {}, known.certificate);
  for (let index = 0; index < 300; index++) {
    // The same certificate in other words.
    const got = await pinnedFetch(url, {}, `number ${index}\n${known.certificate}`);
    expect(await got.text()).toBe("a file");
  }
  // What was under way when its certificate was dropped comes to its end.
  expect(digestOf(await slow.bytes())).toBe(digestOf(BODY));
  await echo.reach(known.certificate);
}, 60_000);
