/** An HTTP server of a test: it answers as told, and remembers what it was asked. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request, as the server heard it. */
export interface HeardRequest {
  /** `GET /path`. */
  readonly line: string;
  readonly headers: { readonly [name: string]: string | undefined };
}

/** How requests are answered; `count` is of those for the same path, this one included. */
export type Answer = (
  request: IncomingMessage,
  response: ServerResponse,
  count: number,
) => void | Promise<void>;

/** A server on a free port of this machine. */
export class UrlServer implements AsyncDisposable {
  /** All that it was asked, in order. */
  readonly heard: HeardRequest[] = [];
  readonly #server: Server;
  readonly #counts: Map<string, number> = new Map();

  private constructor(answer: Answer) {
    this.#server = createServer((request, response) => {
      const { method = "", url = "", headers } = request;
      const count = (this.#counts.get(url) ?? 0) + 1;
      this.#counts.set(url, count);
      const heard = { ...headers } as HeardRequest["headers"];
      this.heard.push({ line: `${method} ${url}`, headers: heard });
      void answer(request, response, count);
    });
  }

  static async open(answer: Answer): Promise<UrlServer> {
    const server = new UrlServer(answer);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  /** `127.0.0.1:PORT`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A url of it. */
  url(path: string = "/data"): string {
    return `http://${this.host}${path}`;
  }

  /** Requests as `GET /path`, with what `header` said where it was there. */
  lines(header?: string): string[] {
    return this.heard.map(({ line, headers }) => {
      const value = header === undefined ? undefined : headers[header];
      return value === undefined ? line : `${line} ${value}`;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A document as honest servers serve it: with ranges, and a strong ETag. */
export interface Document {
  readonly bytes: Uint8Array;
  /** In quotes; of a server without ETags it is empty. */
  readonly etag: string;
  /** False of a server that takes no ranges. */
  readonly hasRanges?: boolean;
  /** Bytes after which the connection breaks. */
  readonly breaksAfter?: number;
  readonly headers?: { readonly [name: string]: string };
}

/** Answers a GET or HEAD. */
export function serveDocument(
  request: IncomingMessage,
  response: ServerResponse,
  document: Document,
): void {
  const { bytes, etag, hasRanges = true, breaksAfter, headers } = document;
  const { range, "if-range": ifRange } = request.headers;
  const isSame = ifRange === undefined || ifRange === etag;
  const isPart = hasRanges && range !== undefined && isSame;
  const start = isPart ? Number(/bytes=(\d+)-/.exec(range)?.[1] ?? 0) : 0;
  if (isPart && start >= bytes.length) {
    response.writeHead(416, { "Content-Range": `bytes */${bytes.length}` }).end();
    return;
  }
  const end = isPart && /-(\d+)$/.test(range)
    ? Number(/-(\d+)$/.exec(range)![1]) + 1
    : bytes.length;
  response.writeHead(isPart ? 206 : 200, {
    "Content-Length": end - start,
    ...(etag === "" ? {} : { ETag: etag }),
    ...(isPart ? { "Content-Range": `bytes ${start}-${end - 1}/${bytes.length}` } : {}),
    ...headers,
  });
  if (request.method === "HEAD") response.end();
  else if (breaksAfter === undefined) response.end(bytes.subarray(start, end));
  else sendAndBreak(response, bytes.subarray(start, start + breaksAfter));
}

/** Sends `bytes`, and breaks the connection once they are under way. */
export function sendAndBreak(response: ServerResponse, bytes: Uint8Array): void {
  response.write(bytes, () => setTimeout(() => response.destroy(), 20));
}

/** Bytes of which no two parts are alike. */
export function someBytes(count: number, seed: number = 1): Uint8Array {
  const bytes = new Uint8Array(count);
  let value = seed;
  for (let index = 0; index < count; index++) {
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = value >>> 24;
  }
  return bytes;
}
