/**
 * Files of FTP servers: read from any byte on, and written beside their place and then renamed.
 *
 * Connections for data are always opened from here, to the host of the control connection whatever
 * address the server tells, as it may be one behind a translation, or none of its own. A path is
 * relative to where the login leads, as RFC 1738, section 3.2.2 has it; `%2F` at its beginning is
 * the root. Sources: RFC 959, RFC 2428 (EPSV), RFC 3659 (SIZE, MDTM, REST).
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";

import type { SilenceWatch } from "../silence_watch.ts";
import { shownUrl } from "./address.ts";
import { UrlError } from "./request.ts";

/** What is known of a download: `UrlProgress` of download.ts. */
export interface FtpProgress {
  offset: number;
  etag: string;
  totalBytes: number;
}

/** What is to be stored. */
export interface FtpBody {
  readonly sizeBytes: number;
  /** Opens it from its first byte. */
  readonly open: () => AsyncIterable<Uint8Array>;
}

/** What a server has said. */
interface Reply {
  readonly code: number;
  readonly text: string;
}

const DEFAULT_PORT = 21;

/** Characters of one answer. */
const REPLY_CHARS_MAX: number = 64 * 1024;

/** Characters of an answer that are shown. */
const SHOWN_CHARS_MAX = 200;

/** Of a command that a server does not know, or not with that argument. */
const UNKNOWN_CODES: readonly number[] = [500, 501, 502, 504];

/** True of a url whose server speaks FTP. */
export function isFtpUrl(url: string): boolean {
  return url.startsWith("ftp:");
}

/** Yields the bytes from `progress.offset` on, which it counts; throws UrlError, or what broke. */
export async function* readFtp(
  url: string,
  { progress, watch }: { readonly progress: FtpProgress; readonly watch: SilenceWatch },
): AsyncGenerator<Uint8Array, void, void> {
  using connection = await FtpConnection.open(url, watch);
  const { path } = connection;
  await acceptSize(connection, progress);
  if (progress.offset > 0) await connection.expect(`REST ${progress.offset}`, [350]);
  using data = await connection.openData();
  await connection.expect(`RETR ${path}`, [125, 150]);
  for await (const chunk of data.socket) {
    const bytes: Uint8Array = chunk;
    watch.hear();
    progress.offset += bytes.length;
    if (progress.totalBytes >= 0 && progress.offset > progress.totalBytes) {
      throw new UrlError("wrong", `${connection.who} sent more than ${progress.totalBytes} bytes`);
    }
    watch.pause();
    yield bytes;
    watch.hear();
  }
  if (progress.offset < progress.totalBytes) {
    throw new Error(`the connection ended, of ${progress.totalBytes} bytes`);
  }
  // Of a size that nobody told, this alone says that all has come.
  await connection.reply([226, 250]);
}

/** Stores a file; throws UrlError, or what broke. */
export async function storeFtp(url: string, body: FtpBody, watch: SilenceWatch): Promise<void> {
  using connection = await FtpConnection.open(url, watch);
  const { path } = connection;
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  await makeFolders(connection, folder);
  const temporary = `${folder}.tendril-${randomBytes(8).toString("hex")}`;
  try {
    await send(connection, temporary, body);
    await connection.expect(`RNFR ${temporary}`, [350]);
    const renamed = await connection.command(`RNTO ${path}`);
    if (renamed.code !== 250) await replaceTarget(connection, temporary, renamed);
  } catch (error) {
    await connection.command(`DELE ${temporary}`).catch(() => {
      // What broke the connection is what is told.
    });
    throw error;
  }
}

/** Compares what the server has with what is known. */
async function acceptSize(connection: FtpConnection, progress: FtpProgress): Promise<void> {
  const { path, who } = connection;
  const size = await connection.command(`SIZE ${path}`);
  if (size.code !== 213 && !UNKNOWN_CODES.includes(size.code)) throw connection.refusal(size);
  const sizeBytes = /^\d{1,15}$/.test(size.text.trim()) ? Number(size.text) : -1;
  const changed = await connection.command(`MDTM ${path}`);
  const version = sizeBytes >= 0 && changed.code === 213 ? `${sizeBytes}-${changed.text}` : "";
  if (progress.offset > 0 && progress.etag !== version) {
    // Nothing of what came can be gone on with.
    progress.etag = "";
    throw new UrlError("broken", `${who} changed while it was read`);
  }
  const { totalBytes } = progress;
  if (sizeBytes >= 0 && totalBytes >= 0 && sizeBytes !== totalBytes) {
    const message = `${who} has ${sizeBytes} bytes where ${totalBytes} were expected`;
    throw new UrlError("changed", message);
  }
  if (sizeBytes >= 0) progress.totalBytes = sizeBytes;
  progress.etag = version;
}

async function makeFolders(connection: FtpConnection, folder: string): Promise<void> {
  for (let at = folder.indexOf("/", 1); at >= 0; at = folder.indexOf("/", at + 1)) {
    // One that is there is refused as well; what is wrong with it is said when it is written to.
    await connection.command(`MKD ${folder.slice(0, at)}`);
  }
}

async function send(connection: FtpConnection, path: string, body: FtpBody): Promise<void> {
  using data = await connection.openData();
  const { socket } = data;
  await connection.expect(`STOR ${path}`, [125, 150]);
  for await (const chunk of body.open()) {
    connection.watch.hear();
    if (!socket.write(chunk)) {
      await Promise.race([once(socket, "drain"), once(socket, "close")]);
      if (socket.destroyed) throw new Error("the connection ended while it was written to");
    }
  }
  socket.end();
  await connection.reply([226, 250]);
  const size = await connection.command(`SIZE ${path}`);
  if (size.code !== 213 || Number(size.text) === body.sizeBytes) return;
  throw new UrlError(
    "broken",
    `${connection.who} has ${size.text} bytes of it where ${body.sizeBytes} were sent`,
  );
}

/** Some servers rename nothing to what is there. */
async function replaceTarget(
  connection: FtpConnection,
  temporary: string,
  refused: Reply,
): Promise<void> {
  const { path } = connection;
  const removed = await connection.command(`DELE ${path}`);
  if (removed.code !== 250) throw connection.refusal(refused);
  await connection.expect(`RNFR ${temporary}`, [350]);
  await connection.expect(`RNTO ${path}`, [250]);
}

/** A connection for the bytes of one file. */
interface DataConnection extends Disposable {
  readonly socket: Socket;
}

/** A control connection, logged in, for files of one byte after the other. */
class FtpConnection implements Disposable {
  readonly who: string;
  /** As the server is asked for it. */
  readonly path: string;
  readonly watch: SilenceWatch;
  readonly #host: string;
  readonly #secret: string;
  readonly #socket: Socket;
  #text = "";
  #failure: Error | undefined;
  #wake: () => void = () => {};
  readonly #abort: () => void;

  private constructor(url: URL, socket: Socket, watch: SilenceWatch) {
    this.who = `"${shownUrl(url.href)}"`;
    this.path = pathOf(url, this.who);
    this.watch = watch;
    this.#host = hostOf(url);
    this.#secret = decodeURIComponent(url.password);
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text) => this.#hear(String(text)));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the connection ended")));
    this.#abort = () => socket.destroy(asError(watch.signal.reason));
    watch.signal.addEventListener("abort", this.#abort, { once: true });
    if (watch.signal.aborted) this.#abort();
  }

  /** Connects, logs in and asks for bytes as they are. */
  static async open(text: string, watch: SilenceWatch): Promise<FtpConnection> {
    const url = new URL(text);
    const user = url.username === "" ? "anonymous" : decodeURIComponent(url.username);
    const password = url.username === "" ? "anonymous@" : decodeURIComponent(url.password);
    const shown = `"${shownUrl(url.href)}"`;
    checkLine(user, shown);
    checkLine(password, shown);
    const port = Number(url.port) || DEFAULT_PORT;
    const socket = createConnection({ host: hostOf(url), port });
    try {
      const connection = new FtpConnection(url, socket, watch);
      await connection.reply([220]);
      const named = await connection.expect(`USER ${user}`, [230, 331]);
      if (named.code === 331) await connection.expect(`PASS ${password}`, [202, 230]);
      await connection.expect("TYPE I", [200]);
      return connection;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Says a line, and gives the answer. */
  async command(line: string): Promise<Reply> {
    checkLine(line, this.who);
    this.#socket.write(`${line}\r\n`);
    return await this.#nextReply();
  }

  /** As `command`; throws where the answer is none of these. */
  async expect(line: string, codes: readonly number[]): Promise<Reply> {
    const reply = await this.command(line);
    if (codes.includes(reply.code)) return reply;
    throw this.refusal(reply);
  }

  /** The next answer; throws where it is none of these. */
  async reply(codes: readonly number[]): Promise<void> {
    const reply = await this.#nextReply();
    if (!codes.includes(reply.code)) throw this.refusal(reply);
  }

  /** The error for an answer: those of 400 on may pass. */
  refusal({ code, text }: Reply): UrlError {
    const said = this.#secret === "" ? text : text.replaceAll(this.#secret, "…");
    const kind = code >= 400 && code < 500 ? "broken" : "refused";
    return new UrlError(kind, `${this.who} answered ${code} ${said.slice(0, SHOWN_CHARS_MAX)}`);
  }

  /** Opens a connection for the bytes of a file. */
  async openData(): Promise<DataConnection> {
    const port = await this.#passivePort();
    const socket = createConnection({ host: this.#host, port });
    const { signal } = this.watch;
    const abort = (): void => void socket.destroy(asError(signal.reason));
    signal.addEventListener("abort", abort, { once: true });
    const close = (): void => {
      signal.removeEventListener("abort", abort);
      socket.destroy();
    };
    // Told by whoever reads or writes; between them nobody listens.
    socket.on("error", () => {});
    try {
      await once(socket, "connect");
      return { socket, [Symbol.dispose]: close };
    } catch (error) {
      close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.watch.signal.removeEventListener("abort", this.#abort);
    if (this.#failure === undefined) this.#socket.end("QUIT\r\n");
    this.#socket.destroySoon();
  }

  async #passivePort(): Promise<number> {
    const extended = await this.command("EPSV");
    const [, port] = /\(\D\D\D(\d{1,5})\D\)/.exec(extended.text) ?? [];
    if (extended.code === 229 && port !== undefined) return Number(port);
    const passive = await this.expect("PASV", [227]);
    const [, high, low] = /\d+,\d+,\d+,\d+,(\d{1,3}),(\d{1,3})/.exec(passive.text) ?? [];
    if (high !== undefined && low !== undefined) return 256 * Number(high) + Number(low);
    throw new UrlError("refused", `${this.who} says no port for data: ${passive.text}`);
  }

  #hear(text: string): void {
    this.watch.hear();
    this.#text += text;
    if (this.#text.length > REPLY_CHARS_MAX) {
      this.#socket.destroy(new Error(`an answer has more than ${REPLY_CHARS_MAX} characters`));
    }
    this.#wake();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  async #nextReply(): Promise<Reply> {
    while (true) {
      const reply = this.#takeReply();
      if (reply !== undefined) return reply;
      if (this.#failure !== undefined) throw this.#failure;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** One line, or all from `123-` to a line that begins with `123 `. */
  #takeReply(): Reply | undefined {
    const [, first = "", mark = ""] = /^(\d{3})([ -])/.exec(this.#text) ?? [];
    if (first === "") {
      const isLine = this.#text.includes("\n");
      if (isLine) throw new UrlError("wrong", `${this.who} does not speak FTP`);
      return undefined;
    }
    const last = mark === " " ? /^(\d{3}) (.*?)\r?\n/ : new RegExp(`(?:^|\n)${first} (.*?)\r?\n`);
    const found = last.exec(this.#text);
    if (found === null) return undefined;
    this.#text = this.#text.slice(found.index + found[0].length);
    return { code: Number(first), text: found.at(-1) ?? "" };
  }
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

function pathOf({ pathname }: URL, who: string): string {
  const path = decodeURIComponent(pathname.slice(1));
  checkLine(path, who);
  if (path !== "" && !path.endsWith("/")) return path;
  throw new UrlError("refused", `${who} names no file`);
}

/** A line break would begin another command. */
function checkLine(line: string, who: string): void {
  for (let index = 0; index < line.length; index++) {
    const code = line.charCodeAt(index);
    if (code !== 0 && code !== 10 && code !== 13) continue;
    throw new UrlError("refused", `${who} holds a line break`);
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
