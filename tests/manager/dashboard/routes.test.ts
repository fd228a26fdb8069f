import { expect, test } from "bun:test";

import { KEY_HEADER, type SessionOpened } from "../../../manager/dashboard/api.ts";
import { VIEWERS_MAX } from "../../../manager/dashboard/live.ts";
import { WRONG_MAX } from "../../../manager/dashboard/session.ts";
import { head, speak } from "../../raw_http.ts";
import { type Asked, DashboardServer, SECRETS } from "./dashboard_server.ts";
import { Viewer } from "./viewer.ts";

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
} as const;

/** Paths that show the run, and how they are asked. */
const SHOWN: readonly (readonly [string, unknown?])[] = [
  ["/api/session"],
  ["/api/status"],
  ["/api/tasks/7/explain"],
  ["/api/tasks/7/output"],
  ["/api/hosts"],
  ["/metrics"],
  ["/api/ask", { kind: "run" }],
];

function errorOf({ json }: Asked): string {
  return (json as { readonly error: string }).error;
}

test("addDashboardRoutes() serves the page to anybody, and lets it load nothing else", async () => {
  await using server = new DashboardServer();
  for (
    const [path, type, text] of [
      ["/", "text/html; charset=utf-8", "<p>"],
      ["/assets/page.js", "text/javascript; charset=utf-8", "0;"],
      ["/assets/style.css", "text/css; charset=utf-8", "p{}"],
    ] as const
  ) {
    const answer = await server.ask(path);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, type]);
    expect(answer.text).toStartWith(text);
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect(policy).toStartWith("default-src 'none'; script-src 'self'; style-src 'self';");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
    expect(answer.headers.getSetCookie()).toEqual([]);
  }
  expect(server.refused).toEqual([]);
});

test("addDashboardRoutes() sends the page packed, and not again while it is the same", async () => {
  await using server = new DashboardServer();
  const get = async (headers: { readonly [name: string]: string }) => {
    const request = head("GET /assets/page.js", headers);
    return (await speak(server.url, request)).text;
  };
  const plain = await get({});
  expect(plain).toContain("0;0;");
  const packed = await get({ "accept-encoding": "br, gzip" });
  expect(packed.toLowerCase()).toContain("content-encoding: gzip");
  expect(packed.length).toBeLessThan(plain.length / 2);
  expect((await get({ "accept-encoding": "br, gzip;q=0" })).toLowerCase()).not.toContain(
    "-encoding: g",
  );
  const tags = [plain, packed].map((text) => /^etag: (".*")/im.exec(text)?.[1] ?? "");
  expect(tags[0]).not.toBe(tags[1]);
  expect(await get({ "if-none-match": `"other", W/${tags[0]}` })).toStartWith("HTTP/1.1 304");
  expect(await get({ "if-none-match": tags[1] ?? "" })).toStartWith("HTTP/1.1 200");
});

test("addDashboardRoutes() says why a page cannot be made, and makes it the next time", async () => {
  let count = 0;
  await using server = new DashboardServer({
    page: () => {
      count += 1;
      if (count === 1) return Promise.reject(new Error("no binary"));
      return Promise.resolve({ html: "<p>", script: "0", style: "p{}" });
    },
  });
  const failed = await server.ask("/");
  expect([failed.status, errorOf(failed)]).toEqual([503, "no binary"]);
  expect((await server.ask("/")).status).toBe(200);
});

test("addDashboardRoutes() shows nothing of the run without a session", async () => {
  await using server = new DashboardServer();
  for (const [path, body] of SHOWN) {
    for (
      const cookie of [undefined, "tendril_session=x", `tendril_session_1=${"a".repeat(5_000)}`]
    ) {
      const answer = await server.ask(path, { body, cookie });
      expect([path, answer.status]).toEqual([path, 401]);
      expect(errorOf(answer)).toContain("Cannot answer without a session");
      expect(answer.headers.get("content-type")).toBe("application/json");
    }
  }
  expect(server.refused).toEqual(SHOWN.flatMap(() => ["session", "session", "session"]));
  expect([server.questions, server.lookCount]).toEqual([[], 0]);
});

test("POST /session gives a cookie for a token, once, that no script can read", async () => {
  await using server = new DashboardServer();
  const token = server.sessions.newToken("act");
  const first = await server.ask("/session", { body: { token } });
  const { key, ...info } = first.json as SessionOpened;
  expect([first.status, info]).toEqual([200, { version: 1, isLive: true, canAct: true }]);
  expect(key).toMatch(/^[\w-]{43}$/);
  const { port } = new URL(server.url);
  const [cookie = "", ...others] = first.headers.getSetCookie();
  expect(others).toEqual([]);
  expect(cookie).toMatch(
    new RegExp(
      `^tendril_session_${port}=[\\w-]{43}; Max-Age=604800; Path=/; HttpOnly; SameSite=Strict$`,
    ),
  );
  const again = await server.ask("/session", { body: { token } });
  expect([again.status, again.headers.getSetCookie()]).toEqual([401, []]);
  expect(again.text).not.toContain(token);
  const own = cookie.split(";")[0];
  const shown = { [KEY_HEADER]: key };
  const known = await server.ask("/api/session", { cookie: own, headers: shown });
  // The key is told once.
  expect([known.status, known.json]).toEqual([200, info]);
  // Cookies know no port: what another manager of this host gave does not come in here.
  const renamed = own?.replace(port, "1");
  expect((await server.ask("/api/session", { cookie: renamed, headers: shown })).status).toBe(401);
  await using secure = new DashboardServer({ isSecure: true });
  const { headers } = await secure.ask("/session", { body: { token: SECRETS.viewer } });
  expect(headers.getSetCookie()[0]).toContain("; Secure");
});

test("POST /session removes the oldest cookies of other managers, which would fill heads", async () => {
  await using server = new DashboardServer();
  const others = Array.from({ length: 12 }, (_, index) => `tendril_session_${index + 1}=x`);
  const cookie = ["theme=dark", ...others].join("; ");
  const { headers } = await server.ask("/session", { body: { token: SECRETS.viewer }, cookie });
  const removed = headers.getSetCookie().filter((one) => one.includes("Max-Age=0"));
  expect(removed.map((one) => one.split("=")[0])).toEqual(
    [1, 2, 3, 4].map((number) => `tendril_session_${number}`),
  );
});

test("POST /session has those wait who guess, and takes a right token all the same", async () => {
  await using server = new DashboardServer();
  const statuses: number[] = [];
  for (let index = 0; index <= WRONG_MAX; index++) {
    statuses.push((await server.ask("/session", { body: { token: `wrong ${index}` } })).status);
  }
  expect(new Set(statuses.slice(0, WRONG_MAX))).toEqual(new Set([401]));
  expect(statuses.at(-1)).toBe(429);
  const headers = { authorization: "Bearer wrong" };
  const waiting = await server.ask("/api/status", { headers });
  expect([waiting.status, waiting.headers.get("retry-after")]).toEqual([429, "10"]);
  expect(server.refused.filter((kind) => kind === "session").length).toBe(WRONG_MAX + 2);
  const token = server.sessions.newToken("look");
  expect((await server.ask("/session", { body: { token } })).status).toBe(200);
});

test("DELETE /session ends it, also for whoever looks on", async () => {
  await using server = new DashboardServer();
  const cookie = await server.asViewer();
  await using viewer = await Viewer.open(server.url, { cookie, ...server.keyOf(cookie) });
  await viewer.next();
  const answer = await server.ask("/session", { method: "DELETE", cookie });
  expect(answer.status).toBe(200);
  expect(answer.headers.getSetCookie()[0]).toContain("Max-Age=0");
  expect((await server.ask("/api/session", { cookie })).status).toBe(401);
  expect((await viewer.ended).code).toBe(4001);
});

test("addDashboardRoutes() takes the secrets of clients and viewers of programs", async () => {
  await using server = new DashboardServer();
  const bearer = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } });
  expect((await server.ask("/api/status", bearer(SECRETS.viewer))).json).toEqual({ version: 1 });
  expect((await server.ask("/metrics", bearer(SECRETS.client))).text).toStartWith("m 1");
  for (const secret of ["wrong", "", "a".repeat(3_000), `${SECRETS.viewer} `, "é"]) {
    const headers = { authorization: `Bearer ${secret}`.trimEnd() };
    const { statuses } = await speak(server.url, head("GET /api/status", headers));
    expect(statuses).toEqual([secret.trim() === SECRETS.viewer ? 200 : 401]);
  }
  const basic = { headers: { authorization: `Basic ${SECRETS.viewer}` } };
  expect((await server.ask("/api/status", basic)).status).toBe(401);
  // A wrong secret is not made good by a session.
  const cookie = await server.asViewer();
  expect((await server.ask("/api/status", { cookie, ...bearer("wrong") })).status).toBe(401);
});

test("addDashboardRoutes() answers what a running manager knows, kept by nobody", async () => {
  await using server = new DashboardServer();
  const cookie = await server.asViewer();
  const get = async (path: string) => {
    const { status, json, headers } = await server.ask(path, { cookie });
    expect([headers.get("cache-control"), headers.get("x-content-type-options")]).toEqual(
      ["no-store", "nosniff"],
    );
    return [status, json];
  };
  const info = { version: 1, isLive: true, canAct: false };
  expect(await get("/api/session")).toEqual([200, info]);
  expect(await get("/api/status")).toEqual([200, { version: 1 }]);
  expect(await get("/api/tasks/7/explain")).toEqual([200, { text: "task 7 waits" }]);
  const output = { stdout: "out", stderr: "err", isRunning: true };
  expect(await get("/api/tasks/7/output")).toEqual([200, output]);
  const hosts = [{ host: "node1", state: "blocked", reason: "it failed" }];
  expect(await get("/api/hosts")).toEqual([200, { hosts }]);
  for (const what of ["explain", "output"]) {
    expect((await get(`/api/tasks/8/${what}`))[0]).toBe(404);
    for (const id of ["0", "-1", "1e3", "x", "9".repeat(20)]) {
      expect((await get(`/api/tasks/${id}/${what}`))[0]).toBe(400);
    }
  }
  const headers = { accept: "application/openmetrics-text" };
  const metrics = await server.ask("/metrics", { cookie, headers });
  expect(metrics.text).toBe("m 1 application/openmetrics-text\n");
  expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4");
});

test("POST /api/hosts/HOST is for those who may act", async () => {
  await using server = new DashboardServer();
  const [viewer, client] = [await server.asViewer(), await server.asClient()];
  const change = (cookie: string, body: unknown, host = "node1.site") => {
    return server.ask(`/api/hosts/${host}`, { cookie, body });
  };
  const refused = await change(viewer, { change: "drain" });
  expect([refused.status, server.changes]).toEqual([403, []]);
  const taken = await change(client, { change: "drain" });
  expect([taken.status, taken.json]).toEqual([200, { host: "node1.site", change: "drain" }]);
  expect((await change(client, { change: "unblock" }, "n%C3%A4he")).status).toBe(200);
  expect(server.changes).toEqual(["drain node1.site", "unblock nähe"]);
  for (const body of [{ change: "burn" }, {}, [], "no", null, { change: ["drain"] }]) {
    expect((await change(client, body)).status).toBe(400);
  }
  expect((await change(client, { change: "drain" }, "a".repeat(300))).status).toBe(400);
  expect(server.changes.length).toBe(2);
});

test("POST /api/ask answers a question, and asks alike ones once at a time", async () => {
  await using server = new DashboardServer();
  const cookie = await server.asViewer();
  const question = { kind: "worker", workerId: "w1" };
  expect((await server.ask("/api/ask", { cookie, body: question })).json).toEqual({
    kind: "worker",
  });
  expect(server.questions).toEqual([question] as never);
  let askedNow = 0;
  let askedAtOnceMax = 0;
  server.answer = async () => {
    askedNow += 1;
    askedAtOnceMax = Math.max(askedAtOnceMax, askedNow);
    // Others come meanwhile.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((next) => setTimeout(next));
    askedNow -= 1;
    return new TextEncoder().encode("{}");
  };
  const alike = Array.from(
    { length: 10 },
    () => server.ask("/api/ask", { cookie, body: question }),
  );
  expect(new Set((await Promise.all(alike)).map(({ text }) => text))).toEqual(new Set(["{}"]));
  expect(askedAtOnceMax).toBe(1);
  server.answer = () => undefined;
  expect((await server.ask("/api/ask", { cookie, body: question })).status).toBe(404);
  server.answer = () => Promise.reject(new Error("no records\u001b[2J"));
  const failed = await server.ask("/api/ask", { cookie, body: question });
  expect([failed.status, errorOf(failed).startsWith("no records")]).toEqual([503, true]);
  expect(failed.text).not.toContain("\\u001b");
});

test("POST /api/ask turns away what is no question, and too large a body", async () => {
  await using server = new DashboardServer();
  const cookie = await server.asViewer();
  const hostile: readonly unknown[] = [
    "",
    "{",
    "[".repeat(30_000),
    "null",
    [],
    { kind: "drop table" },
    { kind: "__proto__" },
    { kind: "task", taskId: "1 or 1=1" },
    { kind: "tasks", sort: "id; --", isDescending: true, offset: 0, limit: 10 },
    { kind: "tasks", sort: "id", isDescending: true, offset: 0, limit: 1e9 },
    { kind: "tasks", sort: "id", isDescending: true, offset: -1, limit: 10 },
    { kind: "tasks", sort: "id", isDescending: 1, offset: 0, limit: 10 },
    { kind: "tasks", sort: "id", isDescending: true, offset: 0, limit: 9, states: ["x"] },
    { kind: "overview", points: 1e308 },
    { kind: "timeline", barsMax: 1, workerIds: Array.from({ length: 5_000 }, () => "w") },
  ];
  for (const body of hostile) {
    expect([body, (await server.ask("/api/ask", { cookie, body })).status]).toEqual([body, 400]);
  }
  expect([server.questions, server.refused]).toEqual([[], hostile.map(() => "body")]);
  const { host } = server;
  const large = { "content-length": 1e9, host, ...server.keyOf(cookie), cookie };
  const told = await speak(server.url, head("POST /api/ask", large), {
    flood: new Uint8Array(65_536),
    floodBytesMax: 64 * 1024 * 1024,
  });
  expect([[], [413]]).toContainEqual([...told.statuses]);
  // Chunks tell no length; they are counted.
  const chunk = `10000\r\n${"a".repeat(65_536)}\r\n`;
  const session = { cookie, ...server.keyOf(cookie) };
  const chunked = head("POST /api/ask", { "transfer-encoding": "chunked", ...session, host });
  expect((await speak(server.url, chunked + chunk.repeat(2) + "0\r\n\r\n")).statuses).toEqual([
    413,
  ]);
  expect(server.questions).toEqual([]);
});

test("addDashboardRoutes() refuses pages of other origins, of this host too", async () => {
  await using server = new DashboardServer();
  const cookie = await server.asClient();
  const foreign = [
    { origin: "http://evil.example" },
    { origin: "null" },
    { origin: server.url.replace(/\d+$/, "1") },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ];
  const asked: readonly (readonly [string, string])[] = [
    ["GET", "/api/status"],
    ["POST", "/api/ask"],
    ["POST", "/api/hosts/node1"],
    ["POST", "/session"],
    ["DELETE", "/session"],
    ["GET", "/metrics"],
  ];
  for (const headers of foreign) {
    for (const [method, path] of asked) {
      const lines = {
        cookie,
        ...server.keyOf(cookie),
        ...headers,
        ...(method === "POST" ? { "content-length": 0 } : {}),
      };
      const { statuses } = await speak(server.url, head(`${method} ${path}`, lines));
      expect([headers, path, statuses]).toEqual([headers, path, [403]]);
    }
  }
  expect(new Set(server.refused)).toEqual(new Set(["origin"]));
  const socket = { ...UPGRADE, cookie, origin: "http://evil.example" };
  expect((await speak(server.url, head("GET /live", socket))).statuses).toEqual([403]);
  const own = { cookie, headers: { origin: server.url, "sec-fetch-site": "same-origin" } };
  expect((await server.ask("/api/status", own)).status).toBe(200);
  expect(server.changes).toEqual([]);
});

test("addDashboardRoutes() says which methods a route takes", async () => {
  await using server = new DashboardServer();
  for (
    const [method, path] of [["PUT", "/"], ["GET", "/api/ask"], ["DELETE", "/metrics"]] as const
  ) {
    const answer = await server.ask(path, { method });
    expect([answer.status, answer.headers.get("allow") !== null]).toEqual([405, true]);
  }
});

test("addDashboardRoutes() of a past run answers from its records alone", async () => {
  await using server = new DashboardServer({ isPast: true });
  const cookie = await server.asClient();
  const info = { version: 1, isLive: false, canAct: false };
  expect((await server.ask("/api/session", { cookie })).json).toEqual(info);
  expect((await server.ask("/api/ask", { cookie, body: { kind: "run" } })).status).toBe(200);
  for (const path of ["/api/status", "/live", "/metrics", "/api/hosts"]) {
    expect([path, (await server.ask(path, { cookie })).status]).toEqual([path, 404]);
  }
});

test("GET /live is for those who have a session, or a secret", async () => {
  await using server = new DashboardServer();
  const statusOf = async (headers: { readonly [name: string]: string }) => {
    return (await speak(server.url, head("GET /live", { ...UPGRADE, ...headers }))).statuses;
  };
  expect(await statusOf({})).toEqual([401]);
  expect(await statusOf({ cookie: "tendril_session=x" })).toEqual([401]);
  expect(await statusOf({ authorization: "Bearer wrong" })).toEqual([401]);
  const authorization = `Bearer ${SECRETS.viewer}`;
  await using viewer = await Viewer.open(server.url, { authorization });
  expect((await viewer.next()).kind).toBe("update");
  const plain = await server.ask("/live", { cookie: await server.asViewer() });
  expect(plain.status).toBe(426);
});

test("A session's cookie is worth nothing without its key, which is sent to one port alone", async () => {
  await using server = new DashboardServer();
  // As the server of another account at another port of this host reads it.
  const [cookie, other] = [await server.asClient(), await server.asClient()];
  const keys = [{}, { [KEY_HEADER]: "" }, server.keyOf(other), { [KEY_HEADER]: "x".repeat(5_000) }];
  for (const headers of keys) {
    for (const [path, body] of [...SHOWN, ["/api/hosts/node1", { change: "block" }] as const]) {
      const request = { [KEY_HEADER]: "", ...headers };
      const answer = await server.ask(path, { body, cookie, headers: request });
      expect([path, answer.status]).toEqual([path, 401]);
    }
  }
  for (const frame of ["", server.keyOf(other)[KEY_HEADER] ?? "", "x".repeat(5_000)]) {
    await using viewer = await Viewer.open(server.url, { cookie });
    viewer.send(new TextEncoder().encode(frame));
    expect((await viewer.ended).code).toBe(4001);
    expect(viewer.waitingCount).toBe(0);
  }
  expect([server.changes, server.questions, server.lookCount]).toEqual([[], [], 0]);
  await using page = await Viewer.open(server.url, { cookie });
  page.send(new TextEncoder().encode(server.keyOf(cookie)[KEY_HEADER]));
  expect((await page.next()).kind).toBe("update");
});

test("GET /live looks once for all viewers", async () => {
  await using server = new DashboardServer();
  const cookie = await server.asViewer();
  expect(server.lookCount).toBe(0);
  const viewers = await Promise.all(
    Array.from({ length: 20 }, () => Viewer.open(server.url, { cookie, ...server.keyOf(cookie) })),
  );
  const first = await Promise.all(viewers.map((viewer) => viewer.next()));
  expect(first[0]).toMatchObject({ counts: { running: 1, submitted: 2 }, workersConnected: 1 });
  const before = server.lookCount;
  const { counts } = server.state;
  server.state = { ...server.state, counts: { ...counts, running: 0, succeeded: 2 } };
  const second = await Promise.all(viewers.map((viewer) => viewer.next()));
  expect(second.map(({ counts: { succeeded } }) => succeeded)).toEqual(viewers.map(() => 2));
  expect(second[0]?.leftMs).toBe(0);
  expect(server.lookCount - before).toBeLessThanOrEqual(3);
  for (const viewer of viewers) await viewer[Symbol.asyncDispose]();
});

test("GET /live takes nothing, and so many viewers", async () => {
  await using server = new DashboardServer();
  const cookie = await server.asViewer();
  await using talker = await Viewer.open(server.url, { cookie, ...server.keyOf(cookie) });
  talker.send(new Uint8Array([1]));
  expect((await talker.ended).code).toBe(4000);
  const viewers = await Promise.all(
    Array.from(
      { length: VIEWERS_MAX },
      () => Viewer.open(server.url, { cookie, ...server.keyOf(cookie) }),
    ),
  );
  await Promise.all(viewers.map((viewer) => viewer.next()));
  const { host } = server;
  const { statuses } = await speak(server.url, head("GET /live", { ...UPGRADE, cookie, host }));
  expect(statuses).toEqual([503]);
  expect(server.refused).toContain("connection");
  for (const viewer of viewers) await viewer[Symbol.asyncDispose]();
});
