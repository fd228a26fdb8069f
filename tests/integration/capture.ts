/**
 * What someone on the wire sees: the packets of one interface as `tcpdump` writes them, put together
 * to the byte streams of TCP, and those to what WebSocket frames and our own frames hold.
 *
 * @module
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { inflateRawSync } from "node:zlib";

import type { Host } from "./namespaces.ts";
import { until } from "./scratch.ts";

/** One direction of one connection. */
export interface Stream {
  /** `ADDRESS:PORT>ADDRESS:PORT` */
  readonly name: string;
  readonly bytes: Buffer;
  /** What its WebSocket frames hold, unmasked; none when it has no such frames. */
  readonly payloads: readonly Buffer[];
}

/** Why nothing can be captured here; undefined when it can. */
export function whyNoCapture(): string | undefined {
  try {
    execFileSync("tcpdump", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "there is no tcpdump";
  }
}

/** Packets that wait to be written, in KiB: all that a test moves. */
const BUFFER_KIB = 64 * 1024;

const FAREWELL = "tendril-capture-farewell";

/** What to listen to. */
export interface CaptureOptions {
  /** Interface of the host. Default: loopback. */
  readonly card?: string;
  /** Where a packet leaves by that interface. Default: the host itself, by loopback. */
  readonly farewellTo?: string;
}

/** All that went over one interface of a host, from `start` to `stop`. */
export class Capture implements Disposable {
  readonly #host: Host;
  readonly #farewellTo: string;
  readonly #child: ChildProcess;
  readonly #chunks: Uint8Array[] = [];
  #complaints = "";

  private constructor(host: Host, { card = "lo", farewellTo = "127.0.0.1" }: CaptureOptions) {
    this.#host = host;
    this.#farewellTo = farewellTo;
    const [command = "", ...before] = host.prefix;
    // Not into a file: tcpdump gives up root's rights before it opens one.
    const args = ["-i", card, "-w", "-", "-U", "-n", "-B", String(BUFFER_KIB)];
    this.#child = spawn(command, [...before, "tcpdump", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stdout?.on("data", (chunk: Uint8Array) => this.#chunks.push(chunk));
    this.#child.stderr?.on("data", (chunk: Uint8Array) => this.#complaints += String(chunk));
  }

  static async start(host: Host, options: CaptureOptions = {}): Promise<Capture> {
    const capture = new Capture(host, options);
    await until(() => capture.#complaints.includes("listening on"), "tcpdump listens");
    return capture;
  }

  /** Ends with a packet of its own, so that none before it is missing. */
  async stop(): Promise<Traffic> {
    const [command = "", ...before] = this.#host.prefix;
    execFileSync(command, [
      ...[...before, "bash", "-c"],
      `echo ${FAREWELL} >/dev/udp/${this.#farewellTo}/9`,
    ]);
    const last = () => Buffer.concat(this.#chunks.slice(-4)).includes(FAREWELL);
    await until(last, "the last packet is captured");
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    await closed;
    if (!/^0 packets dropped by kernel/m.test(this.#complaints)) {
      throw new Error(`Cannot use a capture with gaps: ${this.#complaints}`);
    }
    return new Traffic(readStreams(Buffer.concat(this.#chunks)));
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

/** What was captured. */
export class Traffic {
  readonly streams: readonly Stream[];
  /** The streams, and what their WebSocket frames hold, unmasked and inflated. */
  readonly #readable: readonly Buffer[];

  constructor(streams: readonly Stream[]) {
    this.streams = streams;
    this.#readable = streams.flatMap(({ bytes, payloads }) => {
      return [bytes, ...payloads.flatMap((payload) => [payload, ...inflated(payload)])];
    });
  }

  /** True when someone on the wire reads `wanted`. */
  has(wanted: Uint8Array | string): boolean {
    return this.#readable.some((bytes) => bytes.includes(wanted));
  }

  /** True when a stream, or what a frame holds, matches. */
  matches(pattern: RegExp): boolean {
    return this.#readable.some((bytes) => pattern.test(bytes.toString("latin1")));
  }
}

const PCAP_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET_BYTES = 14;
const ETHERTYPE_IPV4 = 0x0800;
const PROTOCOL_TCP = 6;
const PCAP_MAGIC = 0xa1b2c3d4;
const LINK_ETHERNET = 1;

interface Segment {
  readonly sequence: number;
  readonly bytes: Buffer;
}

/** The TCP streams over IPv4 of a capture file (draft-ietf-opsawg-pcap), from their first byte. */
function readStreams(file: Buffer): Stream[] {
  if (file.readUInt32LE(0) !== PCAP_MAGIC || file.readUInt32LE(20) !== LINK_ETHERNET) {
    throw new Error("Cannot read the capture as pcap of Ethernet: it has another header");
  }
  const segments = new Map<string, Segment[]>();
  let at = PCAP_HEADER_BYTES;
  while (at + RECORD_HEADER_BYTES <= file.length) {
    const sizeBytes = file.readUInt32LE(at + 8);
    at += RECORD_HEADER_BYTES;
    const packet = file.subarray(at, at + sizeBytes);
    at += sizeBytes;
    const read = readSegment(packet);
    if (read === undefined) continue;
    const known = segments.get(read.name) ?? [];
    segments.set(read.name, known);
    known.push(read.segment);
  }
  return [...segments].map(([name, parts]) => {
    const bytes = joinSegments(parts);
    return { name, bytes, payloads: payloadsOf(bytes) };
  });
}

function readSegment(packet: Buffer): { name: string; segment: Segment } | undefined {
  if (packet.length < ETHERNET_BYTES + 40) return undefined;
  if (packet.readUInt16BE(12) !== ETHERTYPE_IPV4) return undefined;
  const network = packet.subarray(ETHERNET_BYTES);
  if (network[9] !== PROTOCOL_TCP) return undefined;
  const headerBytes = ((network[0] ?? 0) & 0x0f) * 4;
  // Zero where the card was to fill it in, as with segments above 64 KiB.
  const totalBytes = network.readUInt16BE(2) || network.length;
  const transport = network.subarray(headerBytes, totalBytes);
  const address = (offset: number): string => network.subarray(offset, offset + 4).join(".");
  const [from, to] = [transport.readUInt16BE(0), transport.readUInt16BE(2)];
  const bytes = transport.subarray(((transport[12] ?? 0) >> 4) * 4);
  if (bytes.length === 0) return undefined;
  const name = `${address(12)}:${from}>${address(16)}:${to}`;
  return { name, segment: { sequence: transport.readUInt32BE(4), bytes } };
}

/** In order and once each; a stream is shorter than the numbers that it is counted with. */
function joinSegments(segments: readonly Segment[]): Buffer {
  const start = segments[0]?.sequence ?? 0;
  const ordered = segments.map(({ sequence, bytes }) => ({ at: (sequence - start) | 0, bytes }))
    .sort((one, other) => one.at - other.at);
  const joined: Buffer[] = [];
  let end = ordered[0]?.at ?? 0;
  for (const { at, bytes } of ordered) {
    if (at + bytes.length <= end) continue;
    joined.push(bytes.subarray(Math.max(0, end - at)));
    end = at + bytes.length;
  }
  return Buffer.concat(joined);
}

/** What the WebSocket frames of a stream hold (RFC 6455, 5.2); none when it is not upgraded. */
function payloadsOf(stream: Buffer): Buffer[] {
  const headEnd = stream.indexOf("\r\n\r\n");
  const head = stream.subarray(0, Math.max(0, headEnd)).toString("latin1").toLowerCase();
  if (!/upgrade: *websocket/.test(head)) return [];
  if (/^http\/1.1 101(.|\r|\n)*sec-websocket-extensions/.test(head)) {
    throw new Error("Cannot read WebSocket frames: they have extensions");
  }
  const payloads: Buffer[] = [];
  let at = headEnd + 4;
  while (at + 2 <= stream.length) {
    const isMasked = ((stream[at + 1] ?? 0) & 0x80) !== 0;
    let sizeBytes = (stream[at + 1] ?? 0) & 0x7f;
    at += 2;
    if (sizeBytes === 126) {
      sizeBytes = stream.readUInt16BE(at);
      at += 2;
    } else if (sizeBytes === 127) {
      sizeBytes = Number(stream.readBigUInt64BE(at));
      at += 8;
    }
    const mask = isMasked ? stream.subarray(at, at + 4) : Buffer.alloc(4);
    if (isMasked) at += 4;
    const payload = Buffer.from(stream.subarray(at, at + sizeBytes));
    for (let index = 0; index < payload.length; index++) {
      payload[index] = (payload[index] ?? 0) ^ (mask[index % 4] ?? 0);
    }
    payloads.push(payload);
    at += sizeBytes;
  }
  return payloads;
}

/** A frame of ours whose flag says that it is deflated (shared/codec.ts). */
function inflated(payload: Buffer): Buffer[] {
  if (((payload[0] ?? 0) & 1) === 0) return [];
  try {
    return [inflateRawSync(payload.subarray(1))];
  } catch {
    // No frame of ours, but a part of one or a control frame.
    return [];
  }
}
