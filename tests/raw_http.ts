/** Sends bytes to a server as they are, as no client of HTTP would, and reads what comes back. */

import { connect, type Socket } from "node:net";

/** What came back until the server closed, or had said enough. */
export interface RawAnswer {
  /** Of each response, in order; empty when the connection was closed without one. */
  readonly statuses: readonly number[];
  readonly text: string;
  /** Bytes of the request that the system took. */
  readonly sentBytes: number;
  /** False when the connection was still open when time was up. */
  readonly isClosed: boolean;
}

/** How to speak. */
export interface RawOptions {
  /** Default: until the server closes. */
  readonly withinMs?: number;
  /** Sent on and on after the request, until the connection ends. */
  readonly flood?: Uint8Array;
  /** Leaves off with a flood after so many bytes. */
  readonly floodBytesMax?: number;
}

const WITHIN_MS = 30_000;

/** The head of a request as text. */
export function head(
  line: string,
  headers: { readonly [name: string]: string | number } = {},
): string {
  const fields = { host: "localhost", connection: "close", ...headers };
  const text = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${line} HTTP/1.1\r\n${text}\r\n`;
}

/** Sends `bytes` to the server at `url` and reads until it closes. */
export function speak(
  url: string,
  bytes: Uint8Array | string,
  { withinMs = WITHIN_MS, flood, floodBytesMax = Infinity }: RawOptions = {},
): Promise<RawAnswer> {
  const { promise, resolve } = Promise.withResolvers<RawAnswer>();
  const socket = open(url);
  let text = "";
  let isClosed = true;
  const timer = setTimeout(() => {
    isClosed = false;
    socket.destroy();
  }, withinMs);
  const pour = (): void => {
    if (flood === undefined || socket.destroyed || socket.bytesWritten > floodBytesMax) return;
    socket.write(flood, (error) => error ? undefined : pour());
  };
  const first = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
  socket.once("connect", () => socket.write(first, pour));
  socket.on("data", (chunk) => text += chunk.toString("latin1"));
  socket.on("error", () => {
    // A server may cut whom it refuses.
  });
  socket.on("close", () => {
    clearTimeout(timer);
    const statuses = [...text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map(([, code]) => Number(code));
    const found = statuses.filter((status) => status !== 100);
    resolve({ statuses: found, text, sentBytes: socket.bytesWritten, isClosed });
  });
  return promise;
}

/** A bare connection to the server at `url`. */
export function open(url: string): Socket {
  const { hostname, port } = new URL(url);
  return connect(Number(port), hostname);
}
