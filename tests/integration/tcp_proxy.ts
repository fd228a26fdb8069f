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
          if (pass === undefined) return void to.write(bytes);
          last = last.then(async () => void to.write(await pass(Buffer.from(bytes))));
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
