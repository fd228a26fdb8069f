/** A road between two processes of this machine that a test can cut. */

import { connect, createServer, type Server, type Socket } from "node:net";

/** Passes bytes on to one port of this machine. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  #isCut = false;
  #passedCount = 0;
  /** Bytes that go back before it stands still, and who is told. */
  #hold: { leftBytes: number; readonly reached: () => void } | undefined;

  private constructor(targetPort: number) {
    this.#server = createServer((incoming) => {
      if (this.#isCut) return void incoming.destroy();
      this.#passedCount += 1;
      const outgoing = connect(targetPort, "127.0.0.1");
      for (const [from, to] of [[incoming, outgoing], [outgoing, incoming]] as const) {
        this.#sockets.add(from);
        from.on("data", (bytes) => {
          to.write(bytes);
          if (from === outgoing) this.#count(outgoing, bytes.length);
        });
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
  }

  static async open(targetUrl: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(Number(new URL(targetUrl).port));
    const { promise, resolve } = Promise.withResolvers<void>();
    proxy.#server.listen(0, "127.0.0.1", resolve);
    await promise;
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("It does not listen");
    return `http://127.0.0.1:${address.port}`;
  }

  /** Connections passed on so far. */
  get passedCount(): number {
    return this.#passedCount;
  }

  /** Breaks every connection and refuses new ones. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  /** Passes that many bytes more back, then nothing, without a word; resolves then. */
  holdAfter(bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hold = { leftBytes: bytes, reached: resolve };
    return promise;
  }

  #count(from: Socket, sizeBytes: number): void {
    if (this.#hold === undefined) return;
    this.#hold.leftBytes -= sizeBytes;
    if (this.#hold.leftBytes > 0) return;
    from.pause();
    this.#hold.reached();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await promise;
  }
}

/** A port of this machine that is free at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("It does not listen");
  return address.port;
}
