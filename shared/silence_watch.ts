/** Ends requests whose peer has fallen silent: a connection may be dead without being closed. */

/** Aborts a request that brings nothing for long, or whose owner gave up. */
export class SilenceWatch {
  readonly #controller = new AbortController();
  readonly #owner: AbortSignal;
  readonly #timer: ReturnType<typeof setInterval>;
  #hasHeard = true;

  /** Watches for a silence of `silenceMsMax`, give or take a half. */
  constructor(owner: AbortSignal, silenceMsMax: number) {
    this.#owner = owner;
    this.#timer = setInterval(() => this.#check(), silenceMsMax / 2);
    owner.addEventListener("abort", this.#abort);
    if (owner.aborted) this.#abort();
  }

  /** For the request. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something came. */
  hear(): void {
    this.#hasHeard = true;
  }

  /** Ends the request for another reason. */
  giveUp(reason: Error): void {
    this.#controller.abort(reason);
  }

  /** The request is over. */
  close(): void {
    clearInterval(this.#timer);
    this.#owner.removeEventListener("abort", this.#abort);
    // Also ends a body that was not read to its end.
    this.#controller.abort();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  readonly #abort = (): void => this.#controller.abort(this.#owner.reason);

  #check(): void {
    if (!this.#hasHeard) this.#controller.abort(new Error("nothing came for too long"));
    this.#hasHeard = false;
  }
}
