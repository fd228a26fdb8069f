/** A manager that other hosts can reach: every address of it, over TLS, and who is let in. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { writeAccessCopy } from "../../manager/access.ts";
import { ClientConnection } from "../../manager/client.ts";
import { Manager } from "../../manager/manager.ts";
import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import { hostAddresses } from "../../shared/addresses.ts";
import { newCertificate } from "../../shared/certificate.ts";
import { ROLES } from "../../shared/handshake.ts";
import { pinnedFetch } from "../../shared/runtime/fetch.ts";
import { head, speak } from "../raw_http.ts";
import { StandardError } from "../standard_error.ts";
import { FakeWorker } from "./fake_worker.ts";

let home = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tendril-doors-"));
  process.env["TENDRIL_HOME"] = home;
});

afterEach(async () => {
  delete process.env["TENDRIL_HOME"];
  await rm(home, { recursive: true, force: true });
});

/** Runs a task by a worker that comes by `url`. */
async function runBy(manager: Manager, url: string): Promise<void> {
  const worker = await FakeWorker.join(manager.name, { url });
  await worker.next("welcome");
  const task = manager.submit({ command: "true" });
  for (const dispatched of await worker.nextTasks(1)) worker.finish(dispatched);
  expect((await task).outcome).toBe("success");
  worker.close();
  await worker.ended;
}

test("Manager runs tasks by every address of this host, over TLS", async () => {
  for (const listen of ["0.0.0.0:0", ":0"]) {
    await using manager = await Manager.start({ name: "oak", listen });
    const { urls, certificate } = await readAccessFile(accessPath("oak"));
    expect(urls.length).toBeGreaterThan(hostAddresses().some((at) => !at.includes(":")) ? 1 : 0);
    expect(certificate).toStartWith("-----BEGIN CERTIFICATE-----");
    for (const url of urls) await runBy(manager, url);
    const { url, urls: known } = manager.status();
    expect([url, known]).toEqual([manager.address, urls]);
    expect(urls[0]).toBe(manager.address);
  }
});

test("Manager speaks TLS only, with the certificate of its access file", async () => {
  await using manager = await Manager.start({ name: "oak", listen: "0.0.0.0:0" });
  const access = await readAccessFile(accessPath("oak"));
  const plain = await speak(manager.address.replace("https", "http"), head("GET /files/a"));
  // Some servers say in plain what they want; none answers the request.
  expect(plain.statuses.filter((status) => status !== 400)).toEqual([]);
  const ask = (certificate?: string) => pinnedFetch(`${manager.address}/files/a`, {}, certificate);
  const answer = await ask(access.certificate);
  await answer.body?.cancel();
  expect(answer.status).toBe(403);
  expect([answer.headers.get("server"), answer.headers.get("x-powered-by")]).toEqual([null, null]);
  await expect(ask((await newCertificate([])).certificate)).rejects.toThrow();
  await expect(ask()).rejects.toThrow();
  // Who holds another certificate for the manager's is told that this is another server.
  const { certificate } = await newCertificate(hostAddresses());
  const find = (): Promise<AccessFile> => Promise.resolve({ ...access, certificate });
  await expect(ClientConnection.open(find)).rejects.toThrow("it has another certificate");
});

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
} as const;

test("Manager serves addresses and names that are its own, at every door, and counts others", async () => {
  const options = { name: "oak", advertise: "127.0.0.1", listen: "127.0.0.1:0" };
  await using manager = await Manager.start(options);
  const statusOf = async (line: string, host: string, more = {}): Promise<number | undefined> => {
    return (await speak(manager.address, head(line, { ...more, host }))).statuses[0];
  };
  for (const host of ["127.0.0.1", "127.0.0.1:1", "[::1]:9", "192.0.2.1", "LocalHost:7"]) {
    expect([host, await statusOf("GET /files/a", host)]).toEqual([host, 403]);
  }
  const others = ["evil.example", "evil.example:80", "localhost.evil.example", "oak"];
  for (const host of others) {
    const { host: before } = manager.status().refused;
    for (const path of ["/files/a", "/nothing", "/"]) {
      expect([host, await statusOf(`GET ${path}`, host)]).toEqual([host, 421]);
    }
    for (const door of ["/worker", "/client"]) {
      expect([host, await statusOf(`GET ${door}`, host, UPGRADE)]).toEqual([host, 421]);
    }
    expect(manager.status().refused.host - before).toBe(5);
  }
});

test("Manager serves the names that it advertises", async () => {
  using _told = new StandardError();
  const advertise = ["Head.Cluster", "gate:80"];
  await using manager = await Manager.start({ name: "oak", advertise, insecure: true });
  const { urls } = await readAccessFile(accessPath("oak"));
  expect(urls.slice(0, 2)).toEqual([
    `http://head.cluster:${new URL(urls[2] ?? "").port}`,
    "http://gate:80",
  ]);
  for (const host of ["head.cluster:1", "HEAD.cluster", "gate"]) {
    const { statuses } = await speak(urls[2] ?? "", head("GET /files/a", { host }));
    expect([host, statuses]).toEqual([host, [403]]);
  }
  expect(manager.status().refused.host).toBe(0);
});

test("Manager.start() says why it cannot listen, and leaves nothing behind", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  try {
    await expect(Manager.start({ name: "oak", listen: `127.0.0.1:${port}` })).rejects.toThrow(
      `Cannot listen on "127.0.0.1:${port}" as the address of this manager: ` +
        "another process listens there",
    );
  } finally {
    server.close();
  }
  // RFC 5737: no machine has it.
  for (const host of ["192.0.2.250", "name.invalid"]) {
    await expect(Manager.start({ name: "oak", listen: `${host}:0` })).rejects.toThrow(
      `Cannot listen on "${host}:0" as the address of this manager: this machine has no such address`,
    );
  }
  await using _manager = await Manager.start({ name: "oak" });
});

test("An access file of one role lets in as that role, and as no other", async () => {
  await using manager = await Manager.start({ name: "oak", listen: "0.0.0.0:0" });
  const access = await readAccessFile(accessPath("oak"));
  const ends: string[] = [];
  for (const role of ROLES) {
    const path = join(home, `${role}.json`);
    await writeAccessCopy(path, { ...access, secrets: { [role]: access.secrets[role] } });
    const opened = ClientConnection.open(() => readAccessFile(path));
    try {
      await using client = await opened;
      const { status } = await client.ask({ kind: "status" });
      expect(status.name).toBe(manager.name);
      const { count } = await client.ask({ kind: "cancel", selection: { kind: "all" } });
      ends.push(`cancelled ${count}`);
    } catch (error) {
      ends.push(error instanceof Error ? error.message : String(error));
    }
  }
  expect(ends).toEqual([
    'Cannot ask manager "oak": its access file has no client secret: it was made for role worker',
    "cancelled 0",
    'Cannot take request "cancel" of a viewer: it may only look',
  ]);
});

test("A manager that nobody answers for is said to run where its access file says", async () => {
  const port = await Manager.start({ name: "oak" }).then(async (manager) => {
    await manager.close();
    return new URL(manager.address).port;
  });
  const access: AccessFile = {
    version: 1,
    name: "oak",
    managerId: "m1",
    urls: [`http://127.0.0.1:${port}`],
    secrets: { client: "c".repeat(43) },
    pid: 7,
    host: "node9",
    startedAtMs: 0,
  };
  await expect(ClientConnection.open(() => Promise.resolve(access))).rejects.toThrow(
    /nothing answers: .*; by its access file it runs on node9 as process 7 since 1970-01-01T/,
  );
});
