/** The wire of a whole run: no secret on it in the clear, and with TLS no content of a file. */

import { expect, test } from "bun:test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import { decodeFrame, FRAME_LIMITS } from "../../shared/codec.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import { unseal } from "../../shared/seal.ts";
import { BINARY } from "../binary/built.ts";
import { Capture, type Traffic, whyNoCapture } from "./capture.ts";
import { type Host, Network, whyNoNamespaces } from "./namespaces.ts";
import { Scratch, until } from "./scratch.ts";

const whyNot = whyNoNamespaces() ?? whyNoCapture();
if (whyNot !== undefined) process.stderr.write(`The wire is not looked at: ${whyNot}\n`);

const NAME = "wire";

/** Contents that are nowhere else: inline and large ones, in and out, between peers. */
const WORDS = [
  "inlineinput",
  "inlineoutput",
  "largeinput",
  "largeoutput",
  "peerfile",
  "argument",
  "clientinput",
  "clientoutput",
];

/** A content of `word` alone; those above 64 KiB travel as bodies of HTTP. */
const SMALL = 100;
const LARGE = 20_000;

const WORKFLOW = `
import { createHmac } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { Manager } from "tendril";
const [folder] = process.argv.slice(2);
const manager = await Manager.start({ workers: { count: 2, cores: 1, workspace: folder + "/w" } });
const times = (word, count) => (word + " ").repeat(count);
const words = (word, count) =>
  "awk 'BEGIN { for (i = 0; i < " + count + "; i++) printf \\"" + word.slice(0, 4) + "%s \\", \\"" +
  word.slice(4) + "\\" }'";
const inputs = {
  small: manager.buffer(times("inlineinput", ${SMALL})),
  large: manager.buffer(times("largeinput", ${LARGE})),
};
const [small, large, peer] = [manager.buffer(), manager.buffer(), manager.temp()];
const made = await manager.submit({
  command: "cat small large > /dev/null; " + words("inlineoutput", ${SMALL}) + " > o; " +
    words("largeoutput", ${LARGE}) + " > p; " + words("peerfile", ${LARGE}) + " > q",
  inputs,
  outputs: { o: small, p: large, q: peer },
});
if (made.message !== "") throw new Error(made.message);
const readers = [1, 2, 3, 4].map(() =>
  manager.submit({ command: "sleep 0.2; wc -c < q", inputs: { q: peer } }));
for (const reader of readers) await reader;
await manager.run((text) => text.length, "argument").value();
writeFileSync(folder + "/ready", "");
while (!existsSync(folder + "/go")) await setTimeout(20);
const { workerToWorker } = manager.status().bytes;
console.log(JSON.stringify({ workerToWorker, large: (await large.text()).length }));
await manager.close();
`;

interface Run {
  readonly access: AccessFile;
  readonly traffic: Traffic;
  readonly told: { readonly workerToWorker: number; readonly large: number };
}

/** Runs the workflow on a host, with a client that gives and gets a file, and captures it all. */
async function captureRun(host: Host, scratch: Scratch, args: readonly string[]): Promise<Run> {
  const script = scratch.path("workflow.mjs");
  writeFileSync(script, WORKFLOW);
  using capture = await Capture.start(host);
  const child = startOn(host, ["run", "--quiet", "--name", NAME, ...args, script, scratch.folder]);
  let said = "";
  child.stdout?.on("data", (bytes) => said += String(bytes));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  try {
    const isReady = () => existsSync(scratch.path("ready")) || child.exitCode !== null;
    await until(isReady, "the workflow is through");
    const access = await readAccessFile(accessPath(NAME));
    const [command = "", ...before] = host.prefix;
    const ask = (...words: readonly string[]): string =>
      execFileSync(command, [...before, BINARY, ...words], { encoding: "utf8", stdio: "pipe" });
    expect(ask("status", "--name", NAME)).toContain(NAME);
    const given = scratch.path("given");
    writeFileSync(given, "clientinput ".repeat(LARGE));
    const flags = ["--name", NAME, "--input", `in=${given}`, "--output", `out=${given}.back`];
    ask("submit", "--wait", ...flags, "--", "sed s/input/output/g in > out");
    expect(readFileSync(`${given}.back`, "utf8")).toBe("clientoutput ".repeat(LARGE));
    writeFileSync(scratch.path("go"), "");
    expect(await ended).toBe(0);
    return { access, traffic: await capture.stop(), told: JSON.parse(said) };
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

function startOn(host: Host, args: readonly string[]): ChildProcess {
  const [command = "", ...before] = host.prefix;
  return spawn(command, [...before, BINARY, ...args], { stdio: ["ignore", "pipe", "inherit"] });
}

/** Every text of the access file's secrets, and the bytes that they stand for. */
function secretsOf(access: AccessFile): (Uint8Array | string)[] {
  return Object.values(access.secrets).flatMap((text) => [text, Buffer.from(text, "base64url")]);
}

/** The keys for tickets that crossed the wire, as one who has the worker's secret unseals them. */
function transferKeysOf(traffic: Traffic, secret: string): Uint8Array[] {
  return traffic.streams.flatMap(({ name, payloads }) => {
    const said = messagesOf(payloads);
    const welcome = said.find(({ kind }) => kind === "welcome");
    if (welcome === undefined) return [];
    const reverse = name.split(">").reverse().join(">");
    const other = traffic.streams.find((stream) => stream.name === reverse);
    const nonces = [...messagesOf(other?.payloads ?? []), ...said].flatMap(({ nonce }) =>
      nonce ?? []
    );
    const sessionKey = createHmac("sha256", secret)
      .update(`tendril handshake\nsession key\n${PROTOCOL_VERSION}\nworker\n`)
      .update(nonces[0] ?? "").update(nonces[1] ?? "").digest();
    return [unseal(sessionKey, welcome.transferKey ?? new Uint8Array()) ?? new Uint8Array()];
  });
}

interface Overheard {
  readonly kind: string;
  readonly nonce?: Uint8Array;
  readonly transferKey?: Uint8Array;
}

function messagesOf(payloads: readonly Uint8Array[]): Overheard[] {
  return payloads.flatMap((payload) => {
    try {
      return decodeFrame(payload, FRAME_LIMITS) as readonly Overheard[];
    } catch {
      // A ping, a close, or what was cut off at the end.
      return [];
    }
  });
}

test.if(whyNot === undefined)(
  "a run on loopback shows files on the wire, and no secret",
  async () => {
    await using scratch = await Scratch.open();
    using network = new Network();
    const { access, traffic, told } = await captureRun(network.host("one", []), scratch, []);
    expect(told.workerToWorker).toBeGreaterThan(0);
    expect(Object.keys(access.secrets).length).toBeGreaterThan(1);
    for (const secret of secretsOf(access)) expect(traffic.has(secret)).toBe(false);
    const keys = transferKeysOf(traffic, access.secrets.worker ?? "");
    expect(keys.map((key) => [key.length, traffic.has(key)])).toEqual([[32, false], [32, false]]);
    // The test can tell: without TLS the rest can be read, tickets among it.
    for (const word of WORDS) expect([word, traffic.has(word)]).toEqual([word, true]);
    // A ticket begins as a list with a text: `["0` is WyIw, `["a` is WyJh.
    expect(traffic.matches(/Authorization: Tendril Wy[IJ]/i)).toBe(true);
    expect(traffic.has("welcome")).toBe(true);
  },
  120_000,
);

test.if(whyNot === undefined)(
  "a run beyond loopback shows no file on the wire either",
  async () => {
    await using scratch = await Scratch.open();
    using network = new Network();
    const args = ["--listen", "0.0.0.0:0"];
    const { access, traffic, told } = await captureRun(network.host("one"), scratch, args);
    expect(told.workerToWorker).toBeGreaterThan(0);
    expect(access.urls.every((url) => url.startsWith("https:"))).toBe(true);
    const sent = traffic.streams.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(sent).toBeGreaterThan(3 * LARGE * "peerfile".length);
    for (const secret of secretsOf(access)) expect(traffic.has(secret)).toBe(false);
    for (const word of [...WORDS, "welcome", "Authorization", "auth_hello"]) {
      expect([word, traffic.has(word)]).toEqual([word, false]);
    }
    expect(traffic.matches(/Wy[IJ][A-Za-z0-9_-]{40}/)).toBe(false);
    // Each connection begins with a handshake of TLS (RFC 8446, 5.1).
    expect(traffic.streams.filter(({ bytes }) => bytes[0] !== 0x16).map(({ name }) => name))
      .toEqual([]);
  },
  120_000,
);
