/**
 * Attacks on the compiled binary, each with its result in its name. After each one the manager
 * has counted what it turned away, and takes a worker in.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { deflateRawSync } from "node:zlib";

import { join } from "@std/path";

import type { RefusalKind } from "../../manager/refusal.ts";
import { accessPath } from "../../shared/access_file.ts";
import { decodeFrame } from "../../shared/codec.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import { ticketHeader } from "../../shared/ticket.ts";
import { until } from "../integration/scratch.ts";
import { FakeClient } from "../manager/fake_client.ts";
import { FakeWorker } from "../manager/fake_worker.ts";
import { head, open, type RawAnswer, speak } from "../raw_http.ts";
import { frameOf, RawLink } from "../raw_link.ts";
import { authAnswer, authHello, textOf } from "./auth_frame.ts";
import { Attacked, converse, OUTPUT, type Tickets } from "./attacked.ts";
import { BINARY } from "./built.ts";

const SILENT_COUNT = 5000;

/** What the manager may grow by while it is under attack. */
const GROWTH_BYTES_MAX: number = 512 * 1024 * 1024;

/** What the system itself takes of a body that nobody reads. */
const SYSTEM_BYTES_MAX: number = 32 * 1024 * 1024;

const PIECE = new Uint8Array(65536).fill(120);

const TEST_MS_MAX = 120_000;

/** A task as a client submits it. */
const COMMAND = { command: "true", inputs: [], outputs: [], environments: [], env: {} } as const;

const folder: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
const homeBefore: string | undefined = process.env["TENDRIL_HOME"];
let target: Attacked;
let tickets: Tickets;
let residentBefore = 0;
let slow: Promise<readonly RawAnswer[]>;
let mute: Promise<unknown>;

beforeAll(async () => {
  process.env["TENDRIL_HOME"] = join(folder, "home");
  target = await Attacked.start(folder);
  await target.status();
  tickets = await target.takeTickets();
  residentBefore = target.residentBytes();
  // What takes its time to be cut goes on beside the other attacks.
  slow = Promise.all([
    speak(target.url, "GET /files/a HTT", { withinMs: TEST_MS_MAX }),
    dripped("GET /files/a HTTP/1.1\r\nHost: localhost\r\nX: " + "a".repeat(5000)),
  ]);
  mute = converse(`${target.url}/worker`, undefined);
}, TEST_MS_MAX);

afterAll(() => {
  target.close(folder);
  if (homeBefore === undefined) delete process.env["TENDRIL_HOME"];
  else process.env["TENDRIL_HOME"] = homeBefore;
});

/** Sends a byte at a time until it is cut. */
function dripped(text: string): Promise<RawAnswer> {
  const { promise, resolve } = Promise.withResolvers<RawAnswer>();
  const socket = open(target.url);
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++] ?? "a"), 100);
  socket.on("error", () => {});
  socket.on("data", () => {});
  socket.on("close", () => {
    clearInterval(timer);
    resolve({ statuses: [], text: "", sentBytes: at, isClosed: true });
  });
  return promise;
}

/** Declares a test: `attack` is made, then `kind` must have been counted and a worker taken in. */
function attack(
  what: string,
  kind: RefusalKind | undefined,
  make: () => Promise<void>,
): void {
  test(`attack: ${what}`, async () => {
    const before = await target.refused();
    await make();
    if (kind !== undefined) {
      await until(async () => (await target.refused())[kind] > before[kind], `${kind} is counted`);
    }
    await target.expectServing();
  }, TEST_MS_MAX);
}

/** Dials `/worker` with the hello of a worker, and answers the challenge by `answer`. */
async function proveBy(answer: (challenge: Uint8Array) => Uint8Array): Promise<void> {
  const end = await converse(`${target.url}/worker`, authHello("worker"), answer);
  expect(end.frames.some((frame) => textOf(frame).includes("auth_accepted"))).toBe(false);
}

/** An accepted connection of a worker, for frames. */
async function insideLink(): Promise<RawLink> {
  const { worker: secret = "" } = target.access.secrets;
  const link = await RawLink.dial({ url: target.url, role: "worker", secret });
  expect(link.isAccepted).toBe(true);
  return link;
}

/** Sends one frame on a connection that was accepted; it must be closed for it. */
async function sendInside(frame: Uint8Array): Promise<void> {
  const link = await insideLink();
  link.send(frame);
  await link.ended;
}

/** The status that one request is answered with. */
async function statusOf(
  line: string,
  headers: { readonly [name: string]: string | number } = {},
  body: string = "",
): Promise<number | undefined> {
  return (await speak(target.url, head(line, headers) + body)).statuses[0];
}

function withTicket(ticket: string): { readonly authorization: string } {
  return { authorization: ticketHeader(ticket) };
}

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": 13,
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
} as const;

attack("connect without a secret → refused", "handshake", async () => {
  await proveBy(() => authAnswer(new Uint8Array(32)));
});

attack("guess a secret → refused", "handshake", async () => {
  await proveBy(() => authAnswer(new Uint8Array(randomBytes(32))));
});

attack("send the manager's own proof back to it → refused", "handshake", async () => {
  await proveBy((challenge) => {
    const [message] = decodeFrame(challenge) as { readonly proof: Uint8Array }[];
    return authAnswer(message?.proof ?? new Uint8Array(32));
  });
});

attack("replay what an honest worker has sent → refused", "handshake", async () => {
  const { worker: secret = "" } = target.access.secrets;
  const { newClientHandshake } = await import("../../shared/handshake.ts");
  const honest = newClientHandshake("worker", secret);
  const hello = frameOf(honest.opening);
  let answer = new Uint8Array();
  await Promise.race([
    converse(`${target.url}/worker`, hello, (frame) => {
      const [message] = decodeFrame(frame);
      const { send } = honest.receive(message);
      if (send.length === 0) return new Uint8Array([7]);
      answer = new Uint8Array(frameOf(send));
      return answer;
    }),
  ]);
  const end = await converse(`${target.url}/worker`, hello, () => answer);
  expect(answer.length).toBeGreaterThan(32);
  expect(end.frames.some((frame) => textOf(frame).includes("auth_accepted"))).toBe(false);
});

attack("use a worker's secret for a client → refused", "handshake", async () => {
  const { worker: secret = "" } = target.access.secrets;
  const hello = authHello("client");
  const [said] = decodeFrame(hello) as { readonly nonce: Uint8Array }[];
  const end = await converse(`${target.url}/client`, hello, (challenge) => {
    const [message] = decodeFrame(challenge) as { readonly nonce: Uint8Array }[];
    // What a client proves (shared/handshake.ts), under the only secret at hand.
    const proof = createHmac("sha256", secret)
      .update(`tendril handshake\nclient\n${PROTOCOL_VERSION}\nclient\n`)
      .update(said?.nonce ?? "").update(message?.nonce ?? "").digest();
    return authAnswer(new Uint8Array(proof));
  });
  expect(end.frames.some((frame) => textOf(frame).includes("auth_accepted"))).toBe(false);
});

attack(
  "give orders with a viewer's secret → refused, nothing is done",
  "client_request",
  async () => {
    const viewer = await FakeClient.join("attacked", { role: "viewer" });
    const before = (await target.status()).tasks.submitted;
    const orders = [
      {
        kind: "submit",
        submissionId: "a".repeat(24),
        part: 0,
        task: COMMAND,
        members: [{ env: {}, outputs: [] }],
      },
      { kind: "cancel", selection: { kind: "all" } },
      { kind: "tune", policies: { dispatchAhead: 1 } },
      { kind: "declare", file: { kind: "local", path: "/etc/passwd" }, level: "workflow" },
    ] as const;
    for (const order of orders) {
      expect(await viewer.ask(order)).toMatchObject({ kind: "failed" });
    }
    expect((await viewer.expect("status", { kind: "status" })).status.tasks.submitted).toBe(before);
    viewer.close();
  },
);

attack("give a client's orders as a worker → refused", "handshake", async () => {
  const { worker: secret = "" } = target.access.secrets;
  const link = await RawLink.dial({ url: target.url, role: "worker", secret, path: "/client" });
  expect(link.isAccepted).toBe(false);
});

attack("speak before the handshake → cut off", "handshake", async () => {
  await converse(`${target.url}/worker`, frameOf([{ kind: "heartbeat" }]));
});

attack(
  "speak another version of the protocol → refused, with both versions",
  "handshake",
  async () => {
    const { worker: secret = "" } = target.access.secrets;
    const link = await RawLink.dial({ url: target.url, role: "worker", secret, protocol: 99 });
    expect(link.isAccepted).toBe(false);
    expect((await link.ended).reason).toContain("99");
  },
);

attack("connect and say nothing → cut off after 10 s", undefined, async () => {
  await mute;
  expect((await target.refused()).handshake_timeout).toBeGreaterThan(0);
});

attack(
  "come as a worker that is connected already → refused, the first one stays",
  undefined,
  async () => {
    const first = await FakeWorker.join("attacked", { workerId: "twin" });
    await first.next("welcome");
    const second = await FakeWorker.join("attacked", { workerId: "twin", incarnation: "other" });
    await second.ended;
    first.send({ kind: "heartbeat" });
    const ended = first.ended.then(() => "cut off");
    expect(await Promise.race([ended, target.status().then(() => "stays")])).toBe("stays");
    first.close();
  },
);

attack("ask for a file without a ticket → 403", "ticket", async () => {
  expect(await statusOf(`GET /files/${tickets.getName}`)).toBe(403);
});

attack("forge a ticket → 403", "ticket", async () => {
  const forged = `${tickets.get.split(".")[0]}.${randomBytes(32).toString("base64url")}`;
  expect(await statusOf(`GET /files/${tickets.getName}`, withTicket(forged))).toBe(403);
});

attack("move the expiry of a ticket → 403", "ticket", async () => {
  const [body = "", mac] = tickets.get.split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as unknown[];
  claims[7] = Date.now() + 1e12;
  const moved = `${Buffer.from(JSON.stringify(claims)).toString("base64url")}.${mac}`;
  expect(await statusOf(`GET /files/${tickets.getName}`, withTicket(moved))).toBe(403);
});

attack("use a ticket for another file → 403", "ticket", async () => {
  expect(await statusOf(`GET /files/${tickets.putName}`, withTicket(tickets.get))).toBe(403);
});

attack("use a ticket to read for writing → 403", "ticket", async () => {
  const headers = { ...withTicket(tickets.get), "content-length": 3 };
  expect(await statusOf(`PUT /files/${tickets.getName}`, headers, "abc")).toBe(403);
});

attack("use a ticket at another manager → 403", undefined, async () => {
  const request = head(`GET /files/${tickets.getName}`, withTicket(tickets.get));
  expect((await speak(target.otherUrl, request)).statuses).toEqual([403]);
  expect((await speak(target.url, request)).statuses).toEqual([200]);
});

attack("put more than the ticket is for → 413, nothing is read", "body", async () => {
  const headers = { ...withTicket(tickets.put), "content-length": 1e9 };
  const request = head(`PUT /files/${tickets.putName}`, headers);
  const { statuses, sentBytes } = await speak(target.url, request, { flood: PIECE });
  expect([[], [413]]).toContainEqual([...statuses]);
  expect(sentBytes).toBeLessThan(SYSTEM_BYTES_MAX);
});

attack("break off in a body → the rest can still come", "body", async () => {
  const headers = { ...withTicket(tickets.put), "content-length": OUTPUT.length };
  const socket = open(target.url);
  socket.on("error", () => {});
  socket.write(head(`PUT /files/${tickets.putName}`, headers));
  socket.write(OUTPUT.subarray(0, 1000), () => socket.destroy());
  await until(async () => (await target.refused()).body > 1, "the broken body is counted");
});

attack("put a file again with a ticket that has done its work → 404", "ticket", async () => {
  const put = (): Promise<Response> =>
    fetch(`${target.url}/files/${tickets.putName}`, {
      method: "PUT",
      headers: withTicket(tickets.put),
      body: OUTPUT,
    });
  expect((await put()).status).toBe(204);
  expect((await put()).status).toBe(404);
});

attack("announce 1 GB without a ticket → 403, nothing is read", "ticket", async () => {
  const request = head("PUT /files/file-a", { "content-length": 1e9 });
  const { sentBytes } = await speak(target.url, request, { flood: PIECE });
  expect(sentBytes).toBeLessThan(SYSTEM_BYTES_MAX);
});

attack("climb out by the name of a file → 400", "request", async () => {
  for (const path of ["/files/..%2f..%2fetc%2fpasswd", "/files/%2e%2e%2fx", "/files/a%00b"]) {
    expect(await statusOf(`GET ${path}`)).toBe(400);
  }
  expect((await speak(target.url, head("GET /files/../../etc/passwd"))).text).not.toContain(
    "root:",
  );
});

attack("send a frame of 17 MB → cut off", "frame", async () => {
  await sendInside(new Uint8Array(17 * 1024 * 1024));
});

attack("send a frame that inflates to 1 GB → cut off", "frame", async () => {
  const bomb = deflateRawSync(new Uint8Array(1024 * 1024 * 1024));
  await sendInside(Buffer.concat([new Uint8Array([1]), bomb]));
});

attack("send a frame nested a million deep → cut off", "frame", async () => {
  await sendInside(new Uint8Array(1_000_000).fill(0x81, 1));
});

attack("send a frame of text → cut off", "frame", async () => {
  const frame = "\x81\x85\0\0\0\0hello";
  const { isClosed } = await speak(target.url, head("GET /worker", UPGRADE) + frame);
  expect(isClosed).toBe(true);
});

attack("connect from a page of another site → 403", "origin", async () => {
  const headers = { ...UPGRADE, origin: "http://evil.example" };
  expect(await statusOf("GET /client", headers)).toBe(403);
});

attack("point the name of a site at the manager → 421", "host", async () => {
  expect(await statusOf("GET /client", { ...UPGRADE, host: "evil.example" })).toBe(421);
});

/** The host as browsers state it: cookies go by its port. */
function hostOf(): string {
  return new URL(target.url).host;
}

/** Opens a session of the dashboard; gives its cookie, or the status that refuses it. */
async function openSession(token: string): Promise<string | number> {
  const body = JSON.stringify({ token });
  const response = await fetch(`${target.url}/session`, { method: "POST", body });
  const { key } = await response.json() as { readonly key?: string };
  const cookie = response.headers.getSetCookie()[0]?.split(";")[0];
  if (cookie !== undefined && key !== undefined) keys.set(cookie, key);
  return cookie ?? response.status;
}

/** Of sessions that were opened here, by cookie. */
const keys = new Map<string, string>();

/** The cookie of whoever shows the secret of that role. */
async function cookieOf(role: "client" | "viewer"): Promise<string> {
  return String(await openSession(target.access.secrets[role] ?? ""));
}

/** What the page of such a session sends. */
async function sessionOf(
  role: "client" | "viewer",
): Promise<{ readonly cookie: string; readonly "tendril-key": string }> {
  const cookie = await cookieOf(role);
  return { cookie, "tendril-key": keys.get(cookie) ?? "" };
}

/** Paths at which the dashboard shows the run. */
const SHOWN = ["/api/session", "/api/status", "/api/tasks/1/output", "/api/hosts", "/metrics"];

attack("look at the dashboard without a session → 401", "session", async () => {
  for (const path of SHOWN) expect(await statusOf(`GET ${path}`)).toBe(401);
  expect(await statusOf("POST /api/ask", { "content-length": 14 }, '{"kind":"run"}')).toBe(401);
  expect(await statusOf("GET /live", UPGRADE)).toBe(401);
  // Browsers send a cookie to every port of a host: whoever reads it there lacks the page's key.
  const headers = { host: hostOf(), cookie: await cookieOf("client") };
  for (const path of SHOWN) expect(await statusOf(`GET ${path}`, headers)).toBe(401);
  const wrong = { ...headers, "tendril-key": randomBytes(32).toString("base64url") };
  expect(await statusOf("GET /live", { ...UPGRADE, ...wrong })).toBe(401);
});

attack("guess a token or a session of the dashboard → 401, then 429", "session", async () => {
  const guess = () => randomBytes(32).toString("base64url");
  const statuses = new Set<string | number>();
  for (let index = 0; index < 100; index++) statuses.add(await openSession(guess()));
  expect([...statuses]).toEqual([401, 429]);
  const host = hostOf();
  const cookie = `tendril_session_${new URL(target.url).port}=${guess()}`;
  expect(await statusOf("GET /api/status", { host, cookie })).toBe(401);
  // Nobody is locked out by it.
  expect(await cookieOf("viewer")).toContain("tendril_session");
});

attack("use a link to the dashboard a second time → refused", "session", async () => {
  const client = await FakeClient.join("attacked");
  const { fragment } = await client.expect("dashboard", { kind: "dashboard" });
  client.close();
  const token = fragment.replace("#token=", "");
  expect(await openSession(token)).toContain("tendril_session");
  expect([401, 429]).toContain(await openSession(token) as number);
});

attack("block a host with a viewer's session or secret → 403", "session", async () => {
  const { viewer = "" } = target.access.secrets;
  const body = '{"change":"block"}';
  const common = { host: hostOf(), "content-length": body.length };
  for (
    const headers of [
      { ...common, ...await sessionOf("viewer") },
      { ...common, authorization: `Bearer ${viewer}` },
    ]
  ) expect(await statusOf("POST /api/hosts/node1", headers, body)).toBe(403);
});

attack("use a worker's secret at the dashboard → refused", "session", async () => {
  const { worker = "" } = target.access.secrets;
  expect([401, 429]).toContain(await openSession(worker) as number);
});

attack(
  "have a page of another site, or of another port, use your session → 403",
  "origin",
  async () => {
    const body = '{"change":"block"}';
    const common = { host: hostOf(), ...await sessionOf("client") };
    for (const origin of ["http://evil.example", "null", "http://127.0.0.1:1"]) {
      const headers = { ...common, origin };
      const sized = { ...headers, "content-length": body.length };
      expect(await statusOf("POST /api/hosts/node1", sized, body)).toBe(403);
      expect(await statusOf("GET /api/status", headers)).toBe(403);
      expect(await statusOf("GET /live", { ...UPGRADE, ...headers })).toBe(403);
    }
    // Without `Origin`, as forms and images ask.
    const told = { ...common, "sec-fetch-site": "same-site" };
    expect(await statusOf("GET /api/status", told)).toBe(403);
    expect(await statusOf("GET /api/status", common)).toBe(200);
  },
);

attack(
  "put the dashboard into a frame, or a script into it → the browser refuses",
  undefined,
  async () => {
    const { headers } = await fetch(`${target.url}/`);
    const policy = headers.get("content-security-policy") ?? "";
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) {
      expect(policy).toContain(rule);
    }
    expect(policy).not.toContain("unsafe");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  },
);

attack("ask the dashboard with 1 GB → 413, nothing is read", "body", async () => {
  const headers = { host: hostOf(), ...await sessionOf("viewer"), "content-length": 1e9 };
  const request = head("POST /api/ask", headers);
  const { statuses, sentBytes } = await speak(target.url, request, { flood: PIECE });
  expect([[], [413]]).toContainEqual([...statuses]);
  expect(sentBytes).toBeLessThan(SYSTEM_BYTES_MAX);
});

attack("ask the dashboard what is no question → 400", "body", async () => {
  const headers = { host: hostOf(), ...await sessionOf("viewer") };
  const hostile = [
    '{"kind":"tasks","sort":"id; drop table task","isDescending":true,"offset":0,"limit":1}',
    '{"kind":"task","taskId":"1 or 1=1"}',
    "[".repeat(60_000),
  ];
  for (const body of hostile) {
    const sized = { ...headers, "content-length": body.length };
    expect(await statusOf("POST /api/ask", sized, body)).toBe(400);
  }
});

attack("use a method that is not for it → 405", "request", async () => {
  expect(await statusOf("DELETE /files/file-a")).toBe(405);
});

attack("send a head of 1 MB → 431", undefined, async () => {
  expect(await statusOf("GET /files/file-a", { x: "a".repeat(1_000_000) })).toBe(431);
});

attack(
  "smuggle a request behind another one → 400, the second is not seen",
  undefined,
  async () => {
    const lengths = {
      "content-length": 5,
      "transfer-encoding": "chunked",
      connection: "keep-alive",
    };
    const request = head("PUT /files/file-a", lengths) + "0\r\n\r\n" + head("GET /client");
    expect((await speak(target.url, request)).statuses).toEqual([400]);
  },
);

attack(
  `hold ${SILENT_COUNT} connections and say nothing → others are served`,
  undefined,
  async () => {
    const sockets: Socket[] = [];
    for (let index = 0; index < SILENT_COUNT; index++) {
      const socket = open(target.url);
      socket.on("error", () => {});
      sockets.push(socket);
    }
    await until(() => sockets.every((socket) => !socket.connecting), "all are connected");
    await target.expectServing();
    for (const socket of sockets) socket.destroy();
  },
);

attack("send a request a byte at a time → cut off after 20 s", undefined, async () => {
  expect((await slow).map(({ isClosed }) => isClosed)).toEqual([true, true]);
});

attack("ask as a client for what cannot be → told so, nothing else", "client_request", async () => {
  const client = await FakeClient.join("attacked");
  const answer = await client.ask({ kind: "tune", policies: { nonsense: 1 } });
  expect(answer.kind).toBe("failed");
  client.close();
});

/** What `tendril` says with that access file. */
function joinWith(access: string): string {
  const args = ["worker", "--access", access, "--workspace", join(folder, "work"), "--single"];
  const { status, stderr } = spawnSync(BINARY, args, { encoding: "utf8" });
  expect(status).toBe(1);
  return stderr;
}

attack("put a link in the place of an access file → not trusted", undefined, async () => {
  const link = join(folder, "link.json");
  symlinkSync(accessPath("attacked"), link);
  expect(await Promise.resolve(joinWith(link))).toContain("symbolic link");
});

attack("leave an access file open to others → not trusted", undefined, async () => {
  const path = join(folder, "open.json");
  writeFileSync(path, JSON.stringify(target.access));
  chmodSync(path, 0o644);
  expect(await Promise.resolve(joinWith(path))).toContain("others may use it");
});

attack(
  "put .env and bunfig.toml where tendril is started → nothing is taken",
  undefined,
  async () => {
    const place = join(folder, "place");
    mkdirSync(place);
    writeFileSync(join(place, ".env"), "TENDRIL_HOME=/nowhere\n");
    writeFileSync(join(place, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
    writeFileSync(join(place, "preload.ts"), 'await Bun.write("caught", "");\n');
    const args = ["status", "--name", "attacked", "--json"];
    const { status, stdout } = spawnSync(BINARY, args, { encoding: "utf8", cwd: place });
    expect(status).toBe(0);
    expect(JSON.parse(stdout).refused.ticket).toBeGreaterThan(0);
    expect(await Promise.resolve(existsSync(join(place, "caught")))).toBe(false);
  },
);

attack("all of these → the manager has grown by less than 512 MiB", undefined, async () => {
  expect(await Promise.resolve(target.residentBytes() - residentBefore))
    .toBeLessThan(GROWTH_BYTES_MAX);
});
