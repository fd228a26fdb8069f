/**
 * The listener in front of `Deno.serve`, which has no limit of its own on time or connections.
 *
 * Deno's server waits for ever for a head that does not come, for a reader that does not read and
 * for a peer that is gone, and it ends for good when the process is out of descriptors. So on Deno
 * a gate listens: it passes a connection on, to a server on a Unix socket that only this user can
 * reach, when the first head is complete, and cuts one in which nothing moves. Bytes are passed as
 * they are: 0.95 GB/s instead of 1.4 for a file, 10 µs more for a message there and back.
 *
 * @module
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { KeyPair } from "../certificate.ts";
import { CloseWatch } from "./close_watch.ts";
import type { TimeLimits } from "./request_limits.ts";
import { CLOSE_WAIT_MS } from "./socket.ts";

/** What a gate is made of. */
export interface GateOptions {
  readonly hostname: string;
  readonly port: number;
  /** PEM; without it the gate listens in plain. */
  readonly tls?: KeyPair | undefined;
  readonly limits: TimeLimits;
  /** Told of each connection that was cut for want of a head, or of room. */
  readonly refused: (kind: "connection" | "request") => void;
}

/** A head at most; what it holds is judged later (request_limits.ts). */
const HEAD_BYTES_MAX: number = 64 * 1024;

/** Connections whose head is still to come; beyond it the oldest of them is cut. */
export const HEADLESS_MAX = 4096;

/** Connections at most, where the system allows that many descriptors. */
const CONNECTIONS_MAX = 16_384;

/** Descriptors that a connection takes: its own, and both ends of the Unix socket. */
const DESCRIPTORS_PER_CONNECTION = 3;

/** Descriptors that are left to files, databases and processes. */
const DESCRIPTORS_KEPT = 512;

/** Fewer connections are not worth listening for. */
const CONNECTIONS_MIN = 64;

/** Bytes from the peer that count as a move; fewer would let a peer drip for ever. */
const MOVE_BYTES = 16 * 1024;

const SWEEP_MS = 1000;
/** Pause after a failed accept: the process is out of descriptors. */
const ACCEPT_PAUSE_MS = 100;
/**
 * After the server's last word: bytes and time in which the peer may read it. A close with bytes
 * unread would make the system throw away what was said.
 */
const LINGER_BYTES: number = 256 * 1024;
const LINGER_MS = 1000;
const BUFFER_BYTES_MIN = 4 * 1024;
const BUFFER_BYTES_MAX: number = 256 * 1024;
/** A longer path is no address of a Unix socket; the limit is 108 with its end. */
const SOCKET_PATH_CHARS_MAX = 100;
const END_OF_HEAD: Uint8Array = new TextEncoder().encode("\r\n\r\n");
/** How HTTP/2 begins, RFC 9113 section 3.4; it is not offered, and its limits are not ours. */
const HTTP2_PREFACE = "PRI * HTTP/2";
/** How TLS begins, RFC 8446 section 5.1; where it is not spoken, no head will follow. */
const TLS_HANDSHAKE = "\x16";
const SWITCHED = "HTTP/1.1 101";
/** A refusal of ours, whose request may have a body that nobody reads: Deno would read it all. */
const REFUSED = /^HTTP\/1\.1 [45]\d\d [^]*?\r\nconnection: close\r\n/i;
/** Of a response, what is looked at. */
const RESPONSE_CHARS = 512;

const latin1: TextDecoder = new TextDecoder("latin1");

type Phase =
  /** Its head is to come. */
  | "head"
  | "open"
  /** A WebSocket. */
  | "switched";

interface Passage {
  readonly outer: Deno.Conn;
  inner: Deno.Conn | undefined;
  phase: Phase;
  /** Of the last move; of the accept before the first. */
  movedAtMs: number;
  /** From the peer since then. */
  unmovedBytes: number;
  /** The peer spoke since the server did: what the server says next is the start of a response. */
  isAsked: boolean;
  /** The server has said its last word, but for the end of its sentence. */
  isAnswered: boolean;
  /** Of a WebSocket: looks for the end that the server makes of it. */
  closeWatch: CloseWatch | undefined;
  /** Since when the peer has not read what is being sent to it; 0 while nothing is. */
  sendingSinceMs: number;
  linger: ReturnType<typeof setTimeout> | undefined;
  isCut: boolean;
}

/** Owner of the listening socket. */
export class DenoGate {
  /** Where the server behind it has to listen. */
  readonly path: string;
  readonly #folder: string;
  readonly #options: GateOptions;
  readonly #listener: Deno.Listener;
  readonly #passages: Set<Passage> = new Set();
  /** Those without a head, the oldest first. */
  readonly #headless: Set<Passage> = new Set();
  readonly #connectionsMax: number = connectionsMax();
  readonly #timer: ReturnType<typeof setInterval>;
  #isClosed = false;

  /** Listens; throws when the address cannot be listened on. */
  constructor(options: GateOptions) {
    const { hostname, port, tls } = options;
    this.#options = options;
    this.#listener = tls === undefined
      ? Deno.listen({ hostname, port })
      : Deno.listenTls({ hostname, port, cert: tls.certificate, key: tls.key });
    this.#folder = mkdtempSync(join(socketFolder(), "tendril-gate-"));
    this.path = join(this.#folder, "http");
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /** The port listened on. */
  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  /** Lets connections in; to be called when the server behind listens. */
  open(): void {
    void this.#accept();
  }

  /** Cuts every connection and stops listening. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#listener.close();
    for (const passage of [...this.#passages]) this.#cut(passage);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #accept(): Promise<void> {
    while (!this.#isClosed) {
      try {
        this.#admit(await this.#listener.accept());
      } catch {
        // Closed, a broken handshake, or no descriptors left: what is open goes on.
        if (!this.#isClosed) await new Promise((wake) => setTimeout(wake, ACCEPT_PAUSE_MS));
      }
    }
  }

  #admit(outer: Deno.Conn): void {
    const passage: Passage = {
      outer,
      inner: undefined,
      phase: "head",
      movedAtMs: performance.now(),
      unmovedBytes: 0,
      isAsked: true,
      isAnswered: false,
      closeWatch: undefined,
      sendingSinceMs: 0,
      linger: undefined,
      isCut: false,
    };
    const isFull = this.#passages.size >= this.#connectionsMax;
    if (isFull || this.#headless.size >= HEADLESS_MAX) {
      // Whoever speaks is preferred to whoever only holds a place.
      const [oldest] = this.#headless;
      this.#options.refused("connection");
      if (oldest === undefined) return outer.close();
      this.#cut(oldest);
    }
    this.#passages.add(passage);
    this.#headless.add(passage);
    void this.#serve(passage);
  }

  async #serve(passage: Passage): Promise<void> {
    try {
      const head = await this.#readHead(passage);
      if (head === undefined) return;
      if ("setNoDelay" in passage.outer) (passage.outer as Deno.TcpConn).setNoDelay(true);
      const inner = await Deno.connect({ transport: "unix", path: this.path });
      if (passage.isCut) return inner.close();
      passage.inner = inner;
      passage.phase = "open";
      await writeAll(inner, head);
      await Promise.all([this.#send(passage, inner), this.#receive(passage, inner)]);
    } catch {
      // Either side broke; the other is told by the end of its connection.
    } finally {
      this.#cut(passage);
    }
  }

  /** What came up to the end of the first head, and maybe beyond; undefined when it is refused. */
  async #readHead(passage: Passage): Promise<Uint8Array | undefined> {
    const { outer } = passage;
    let room = new Uint8Array(BUFFER_BYTES_MIN);
    let sizeBytes = 0;
    while (true) {
      const count = await outer.read(room.subarray(sizeBytes));
      if (count === null) return undefined;
      const from = Math.max(0, sizeBytes - END_OF_HEAD.length);
      sizeBytes += count;
      const begun = room.subarray(0, sizeBytes);
      if (startsWith(begun, HTTP2_PREFACE)) {
        return await this.#answer(outer, "505 HTTP Version Not Supported");
      }
      if (startsWith(begun, TLS_HANDSHAKE)) return await this.#answer(outer, "400 Bad Request");
      if (hasEndOfHead(room.subarray(from, sizeBytes))) break;
      if (sizeBytes >= HEAD_BYTES_MAX) {
        return await this.#answer(outer, "431 Request Header Fields Too Large");
      }
      if (sizeBytes === room.length) room = enlarged(room);
    }
    this.#headless.delete(passage);
    passage.movedAtMs = performance.now();
    return room.subarray(0, sizeBytes);
  }

  async #answer(outer: Deno.Conn, status: string): Promise<undefined> {
    this.#options.refused("request");
    const text = `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`;
    await writeAll(outer, new TextEncoder().encode(text));
  }

  /** From the server to the peer. */
  async #send(passage: Passage, inner: Deno.Conn): Promise<void> {
    for await (const chunk of chunksOf(inner)) {
      if (passage.phase === "open" && passage.isAsked) this.#look(passage, chunk);
      const isClosing = passage.closeWatch?.take(chunk) === true;
      passage.sendingSinceMs = performance.now();
      await writeAll(passage.outer, chunk);
      passage.sendingSinceMs = 0;
      moved(passage);
      if (isClosing) this.#endSocket(passage);
    }
    this.#linger(passage);
    await passage.outer.closeWrite();
  }

  /** Looks at the start of a response. */
  #look(passage: Passage, chunk: Uint8Array): void {
    passage.isAsked = false;
    if (startsWith(chunk, SWITCHED)) {
      passage.phase = "switched";
      passage.closeWatch = new CloseWatch();
    } else if (REFUSED.test(latin1.decode(chunk.subarray(0, RESPONSE_CHARS)))) {
      this.#linger(passage);
    }
  }

  /** The server closes a WebSocket: a peer that does not answer would keep its place for ever. */
  #endSocket(passage: Passage): void {
    passage.closeWatch = undefined;
    passage.linger ??= setTimeout(() => this.#cut(passage), CLOSE_WAIT_MS);
  }

  /** Reads no more for the server, and leaves the peer time to read. */
  #linger(passage: Passage): void {
    passage.isAnswered = true;
    passage.linger ??= setTimeout(() => this.#cut(passage), LINGER_MS);
  }

  /** From the peer to the server. */
  async #receive(passage: Passage, inner: Deno.Conn): Promise<void> {
    let idleBytes = 0;
    for await (const chunk of chunksOf(passage.outer)) {
      if (!passage.isAnswered) {
        passage.isAsked = true;
        // Fails when the server has closed; the last word may still be on its way.
        await writeAll(inner, chunk).catch(() => {});
        passage.unmovedBytes += chunk.length;
        if (passage.unmovedBytes >= MOVE_BYTES) moved(passage);
        continue;
      }
      idleBytes += chunk.length;
      if (idleBytes > LINGER_BYTES) return this.#cut(passage);
    }
    await inner.closeWrite();
  }

  #sweep(): void {
    const { headS, silenceS } = this.#options.limits;
    const nowMs = performance.now();
    for (const passage of [...this.#passages]) {
      const { phase, movedAtMs, sendingSinceMs } = passage;
      const limitMs = (phase === "head" ? headS : silenceS) * 1000;
      // A WebSocket has heartbeats of its own, but none gets past a reader that stands still.
      const sinceMs = phase === "switched" ? sendingSinceMs || nowMs : movedAtMs;
      if (nowMs - sinceMs < limitMs) continue;
      this.#options.refused("connection");
      this.#cut(passage);
    }
  }

  #cut(passage: Passage): void {
    if (passage.isCut) return;
    passage.isCut = true;
    clearTimeout(passage.linger);
    this.#passages.delete(passage);
    this.#headless.delete(passage);
    for (const conn of [passage.outer, passage.inner]) {
      try {
        conn?.close();
      } catch {
        // Closed by its other side already.
      }
    }
  }
}

function moved(passage: Passage): void {
  passage.movedAtMs = performance.now();
  passage.unmovedBytes = 0;
}

/** What `conn` brings; the buffer, which is small while little comes, is used again. */
async function* chunksOf(conn: Deno.Conn): AsyncGenerator<Uint8Array> {
  let room = new Uint8Array(BUFFER_BYTES_MIN);
  while (true) {
    const count = await conn.read(room);
    if (count === null) return;
    yield room.subarray(0, count);
    if (count === room.length && count < BUFFER_BYTES_MAX) room = new Uint8Array(count * 4);
  }
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

function enlarged(room: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(room.length * 4);
  larger.set(room);
  return larger;
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  if (bytes.length < text.length) return false;
  for (let at = 0; at < text.length; at++) if (bytes[at] !== text.charCodeAt(at)) return false;
  return true;
}

function hasEndOfHead(bytes: Uint8Array): boolean {
  for (let at = bytes.indexOf(13); at >= 0; at = bytes.indexOf(13, at + 1)) {
    if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return true;
  }
  return false;
}

function socketFolder(): string {
  const folder = tmpdir();
  return join(folder, "tendril-gate-123456", "http").length > SOCKET_PATH_CHARS_MAX
    ? "/tmp"
    : folder;
}

/** What the limit of this process on descriptors leaves room for. */
function connectionsMax(): number {
  let descriptors = CONNECTIONS_MAX * DESCRIPTORS_PER_CONNECTION;
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const found = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
    if (Number.isFinite(found)) descriptors = found;
  } catch {
    // No such file: another system, of which nothing is known.
  }
  const count = Math.floor((descriptors - DESCRIPTORS_KEPT) / DESCRIPTORS_PER_CONNECTION);
  return Math.max(CONNECTIONS_MIN, Math.min(CONNECTIONS_MAX, count));
}
