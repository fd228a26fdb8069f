/** A road between two processes of this machine that a test can cut, hold up and damage. */

import { connect, createServer, type Server, type Socket } from "node:net";

/** What becomes of bytes on their way, in order. */
export interface TcpProxyOptions {
  /** Of what the target answers. */
  readonly back?: (bytes: Buffer) => Buffer | Promise<Buffer>;
  /** Of what is sent to it. */
  readonly forth?: (bytes: Buffer) => Buffer | Promise<Buffer>;
}

/** Passes bytes on to one port of this machine. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  #isCut = false;
  #passedCount = 0;
  /** Bytes that go back before it stands still, and who is told. */
  #hold: { leftBytes: number; readonly reached: () => void } | undefined;

  private constructor(targetPort: number, { back, forth }: TcpProxyOptions) {
    this.#server = createServer((incoming) => {
      if (this.#isCut) return void incoming.destroy();
      this.#passedCount += 1;
      const outgoing = connect(targetPort, "127.0.0.1");
      for (
        const [from, to, pass] of [[incoming, outgoing, forth], [outgoing, incoming, back]] as const
      ) {
        this.#sockets.add(from);
        let last = Promise.resolve();
        from.on("data", (bytes) => {
          if (pass === undefined) {
            to.write(bytes);
          } else {
            // What is held up is held up at its sender.
            from.pause();
            last = last.then(async () => {
              to.write(await pass(Buffer.from(bytes)));
              from.resume();
            });
          }
          if (from === outgoing) this.#count(outgoing, bytes.length);
        });
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.#sockets.delete(from);
          void last.then(() => to.destroy());
        });
      }
    });
  }

  static async open(targetUrl: string, options: TcpProxyOptions = {}): Promise<TcpProxy> {
    const proxy = new TcpProxy(Number(new URL(targetUrl).port), options);
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

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("It does not listen");
  return address.port;
}
