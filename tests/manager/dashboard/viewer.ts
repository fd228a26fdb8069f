/** Whoever follows a run over `/live`, as a page does. */

import type { LiveUpdate } from "../../../manager/dashboard/api.ts";

/** One WebSocket. */
export class Viewer implements AsyncDisposable {
  readonly ended: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #socket: WebSocket;
  readonly #updates: LiveUpdate[] = [];
  #wake: (() => void) | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<{ code: number; reason: string }>();
    this.ended = promise;
    socket.onclose = ({ code, reason }) => resolve({ code, reason });
    socket.onmessage = ({ data }) => {
      // Text, as pages parse it.
      this.#updates.push(JSON.parse(data as string) as LiveUpdate);
      this.#wake?.();
    };
  }

  /** Opens it with these fields in its head. */
  static async open(
    url: string,
    headers: { readonly [name: string]: string },
  ): Promise<Viewer> {
    // Both runtimes take headers, which the types of browsers do not have.
    const socket = new WebSocket(`${url.replace("http", "ws")}/live`, { headers } as never);
    const viewer = new Viewer(socket);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("Cannot open /live"));
    await promise;
    return viewer;
  }

  /** Updates that came and were not taken. */
  get waitingCount(): number {
    return this.#updates.length;
  }

  /** The next update. */
  async next(): Promise<LiveUpdate> {
    for (;;) {
      const update = this.#updates.shift();
      if (update !== undefined) return update;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.ended;
  }
}
