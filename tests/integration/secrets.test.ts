/** A whole run in which much goes wrong: no secret is in anything that it wrote or showed. */

import { expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

import { basename, join } from "@std/path";

import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import { newSecret } from "../../shared/handshake.ts";
import { issueTicket, ticketHeader } from "../../shared/ticket.ts";
import { BINARY } from "../binary/built.ts";
import { FakeWorker } from "../manager/fake_worker.ts";
import { processesOf, Scratch, until } from "./scratch.ts";

const NAME = "secrets";

/** In a url of the run, which nobody can have. */
const URL_SECRET = newSecret();
const SECRET_URL = `http://me:${URL_SECRET}@127.0.0.1:1/nothing?key=${URL_SECRET}`;

/** Runs what goes well and what fails, tells how it ended, and waits for the test to look. */
const WORKFLOW = `
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { Manager } from "tendril";
const [folder] = process.argv.slice(2);
const manager = await Manager.start({ workers: { count: 2, workspace: folder + "/workspaces" } });
const said = [];
const tell = (result) => said.push(result.message + result.stderr + result.stdout);
const big = manager.temp();
await manager.submit({ command: "head -c 300000 /dev/urandom > big", outputs: { big } });
const readers = [1, 2, 3, 4].map(() =>
  manager.submit({ command: "sleep 0.2; wc -c < big", inputs: { big } }));
for (const reader of readers) tell(await reader);
const seen = manager.file(folder + "/seen");
tell(await manager.submit({
  command: "env > seen; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >> seen 2>/dev/null; true",
  outputs: { seen },
}));
const failing = [
  { command: "env; exit 3" },
  { command: "true", outputs: { missing: manager.file(folder + "/missing") } },
  { command: "cat a", inputs: { a: manager.url("${SECRET_URL}") } },
  { command: "cat a", inputs: { a: manager.url("${SECRET_URL}", { cache: "worker" }) } },
  { command: "echo a > a", outputs: { a: manager.url("${SECRET_URL}") } },
  { command: "cat a", inputs: { a: manager.url("file:///nowhere/at/all") }, retries: 0 },
];
for (const task of failing.map((each) => manager.submit(each))) tell(await task);
await manager.run(() => { throw new Error(JSON.stringify(process.env)); }).value().catch((error) =>
  said.push(String(error.stack)));
try { manager.file(folder + "/none/such"); } catch (error) { said.push(String(error.stack)); }
console.log(JSON.stringify(said));
writeFileSync(folder + "/ready", "");
while (!existsSync(folder + "/go")) await setTimeout(20);
tell(await manager.submit({ command: "wc -c < big", inputs: { big } }));
console.log(JSON.stringify(manager.status()));
await manager.close();
`;

/** A secret of the run, and what it is. */
interface Secret {
  readonly what: string;
  readonly bytes: Uint8Array;
}

/** A ticket wherever it stands: base64url of a JSON list that starts with a text, and its MAC. */
const TICKET = /Wy[IJ][A-Za-z0-9_-]{60,}\.[A-Za-z0-9_-]{43}/;

function secretsOf(access: AccessFile, transferKey: Uint8Array): Secret[] {
  const key = Buffer.from(transferKey);
  const texts = Object.entries(access.secrets).flatMap(([role, secret]) => [
    { what: `secret of ${role}`, bytes: Buffer.from(secret) },
    { what: `bytes of the secret of ${role}`, bytes: Buffer.from(secret, "base64url") },
  ]);
  const encodings = (["hex", "base64", "base64url"] as const).map((encoding) => {
    const text = key.toString(encoding).replace(/=+$/, "");
    return { what: `transfer key in ${encoding}`, bytes: Buffer.from(text) };
  });
  const password = { what: "password of a url", bytes: Buffer.from(URL_SECRET) };
  return [...texts, ...encodings, { what: "transfer key", bytes: key }, password];
}

function leaksIn(where: string, content: Uint8Array, secrets: readonly Secret[]): string[] {
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.length);
  const found = secrets.filter(({ bytes }) => buffer.includes(bytes)).map(({ what }) => what);
  if (TICKET.test(buffer.toString("latin1"))) found.push("ticket");
  return found.map((what) => `${what} in ${where}`);
}

function isAccessFile(path: string): boolean {
  return /^access.*\.json$/.test(basename(path)) || /\/managers\/[^/]+\.json$/.test(path);
}

/** What is found below `folder`, but for the access files, where secrets belong. */
function leaksBelow(folder: string, secrets: readonly Secret[]): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    return isAccessFile(path) ? [] : leaksIn(path, readGone(path), secrets);
  });
}

/** Command lines and environments of every process that may be looked at. */
function leaksInProcesses(secrets: readonly Secret[]): string[] {
  const ids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return ids.flatMap((id) =>
    ["cmdline", "environ"].flatMap((file) => {
      const path = `/proc/${id}/${file}`;
      return leaksIn(path, readGone(path), secrets);
    })
  );
}

function readGone(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch {
    // A sandbox or a process that went meanwhile.
    return new Uint8Array();
  }
}

interface Said {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  text: string;
}

function tendril(args: readonly string[], env: Record<string, string>): Said {
  const child = spawn(BINARY, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const { promise: ended, resolve } = Promise.withResolvers<number | null>();
  const said: Said = { child, ended, text: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes) => said.text += String(bytes));
  }
  child.once("close", resolve);
  return said;
}

/** Asks with what is no ticket, an expired one and none; returns all that is answered. */
async function askWrongly(url: string, workerId: string, key: Uint8Array): Promise<string> {
  const ticket = issueTicket(key, {
    source: "m1",
    destination: workerId,
    method: "GET",
    name: "none",
    generation: 0,
    sizeBytes: 1,
    digest: "",
    expiresAtMs: 1,
  });
  let answers = "";
  for (const authorization of ["", "Tendril x.y", "Bearer a", ticketHeader(ticket)]) {
    for (const path of ["/files/none", "/", "/worker", "/client"]) {
      const response = await fetch(`${url}${path}`, { headers: { authorization } });
      answers += JSON.stringify([...response.headers]) + await response.text();
    }
  }
  // What the test itself sent may not be what it finds.
  return answers.replaceAll(ticket, "");
}

test(
  "a run with failures of all kinds shows no secret in what it writes, logs and starts",
  async () => {
    await using scratch = await Scratch.open();
    const folder = scratch.path("run");
    mkdirSync(join(folder, "tmp"), { recursive: true });
    const script = scratch.path("workflow.mjs");
    writeFileSync(script, WORKFLOW);
    const env = { TMPDIR: join(folder, "tmp"), ACCEPTANCE_MARK: folder };
    const run = tendril(
      ["run", "--name", NAME, "--run-directory", join(folder, "logs"), script, folder],
      env,
    );
    try {
      await until(() => isThere(folder), "it is ready", 40_000);
      const access = await readAccessFile(accessPath(NAME));
      const said: string[] = [];
      const wrong = { worker: newSecret(), client: newSecret() };
      for (const secrets of [wrong, { worker: "", client: "" }]) {
        const file = await scratch.accessFile({ ...access, secrets });
        for (const command of ["worker --single --verbose", "status", "submit --wait -- true"]) {
          const [name = "", ...rest] = command.split(" ");
          const stranger = tendril([name, "--access", file, ...rest], env);
          expect(await stranger.ended).toBe(1);
          said.push(stranger.text);
        }
      }
      expect(said[0]).toContain(`Cannot join manager "${NAME}"`);
      expect(said[1]).toContain("secret");
      const failing = tendril(["submit", "--name", NAME, "--wait", "--", "env; exit 3"], env);
      expect(await failing.ended).toBe(1);
      said.push(failing.text);
      // Once the worker is gone, another of its id is given its key.
      const workspace = join(folder, "workspaces", "worker-1");
      const [user = ""] = readdirSync(workspace);
      const workerId = readFileSync(join(workspace, user, NAME, "worker-id"), "utf8").trim();
      const [worker] = processesOf(folder).filter((line) => line.includes(`${workspace} `));
      process.kill(Number(worker?.split(" ")[0]), "SIGKILL");
      const transferKey = await keyOf(workerId);
      const secrets = secretsOf(access, transferKey);
      said.push(await askWrongly(access.urls[0] ?? "", workerId, transferKey));

      // The test can tell: what belongs into an access file is found there.
      const written = readFileSync(accessPath(NAME));
      expect(leaksIn("access", written, secrets).length).toBe(Object.keys(access.secrets).length);
      expect(leaksBelow(folder, secrets)).toEqual([]);
      expect(leaksInProcesses(secrets)).toEqual([]);
      expect(said.flatMap((text) => leaksIn("an answer", Buffer.from(text), secrets))).toEqual([]);
      const seen = readFileSync(join(folder, "seen"), "latin1");
      expect(seen).toContain("--access");
      expect(seen).toContain("TENDRIL_TASK_ID=");

      writeFileSync(join(folder, "go"), "");
      expect(await run.ended).toBe(0);
      expect(run.text).toContain("Error");
      expect(leaksIn("the output of the run", Buffer.from(run.text), secrets)).toEqual([]);
      expect(leaksBelow(folder, secrets)).toEqual([]);
      expect(readdirSync(join(folder, "logs"), { recursive: true }).length).toBeGreaterThan(2);
    } finally {
      run.child.kill("SIGKILL");
      await run.ended;
    }
  },
  120_000,
);

function isThere(folder: string): boolean {
  return readdirSync(folder).includes("ready");
}

/** The key under which the worker of that id checks tickets, once the manager knows it to be gone. */
async function keyOf(workerId: string): Promise<Uint8Array> {
  let key: Uint8Array | undefined;
  await until(async () => {
    const heir = await FakeWorker.join(NAME, { workerId });
    // While the manager has the one that was killed, another of its id is turned away.
    key = await Promise.race([
      heir.next("welcome").then(({ transferKey }) => transferKey),
      heir.ended.then(() => undefined),
    ]);
    heir.close();
    await heir.ended;
    return key !== undefined;
  }, "the worker's id is free");
  return key ?? new Uint8Array();
}
