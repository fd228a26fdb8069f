/** A road between two processes of this machine that a test can cut. */

import { connect, createServer, type Server, type Socket } from "node:net";

/** Passes bytes on to one port of this machine. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  #isCut = false;
  #passedCount = 0;

  private constructor(targetPort: number) {
    this.#server = createServer((incoming) => {
      if (this.#isCut) return void incoming.destroy();
      this.#passedCount += 1;
      const outgoing = connect(targetPort, "127.0.0.1");
      for (const [from, to] of [[incoming, outgoing], [outgoing, incoming]] as const) {
        this.#sockets.add(from);
        from.on("data", (bytes) => to.write(bytes));
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await promise;
  }
}
