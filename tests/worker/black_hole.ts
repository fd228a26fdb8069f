/** An address that takes no connection and refuses none, as behind a firewall that drops. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A connection that the kernel has not taken after so long is not taken. */
const HANG_MS = 1_000;

/** The kernel's own limit is 4096. */
const CONNECTIONS_MAX = 5_000;

const LISTEN = `const server = require("node:net").createServer();
server.listen(0, "127.0.0.1", () => console.log(server.address().port));`;

/** A listener that is stopped, with all connections waiting that the kernel lets wait. */
export class BlackHole implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #sockets: Socket[] = [];
  #port = 0;

  private constructor() {
    this.#process = spawn(process.execPath, ["-e", LISTEN], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  }

  static async open(): Promise<BlackHole> {
    const hole = new BlackHole();
    const [line] = await once(hole.#process.stdout!, "data");
    hole.#port = Number(line);
    hole.#process.kill("SIGSTOP");
    while (await hole.#fill()) {
      if (hole.#sockets.length > CONNECTIONS_MAX) throw new Error("It takes every connection");
    }
    return hole;
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** True when one more connection was taken. */
  async #fill(): Promise<boolean> {
    const socket = connect(this.#port, "127.0.0.1");
    this.#sockets.push(socket);
    socket.on("error", () => {});
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), HANG_MS);
    socket.once("connect", () => resolve(true));
    return await promise.finally(() => clearTimeout(timer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const exited = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exited;
  }
}
