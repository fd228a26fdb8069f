/** Ends requests whose peer has fallen silent: a connection may be dead without being closed. */

/** Why a request was aborted that brought nothing. */
export class SilenceError extends Error {
  override readonly name = "SilenceError";
}

/** Aborts a request that brings nothing for long, or whose owner gave up. */
export class SilenceWatch {
  readonly #controller = new AbortController();
  readonly #owner: AbortSignal;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #silenceMsMax: number;
  #hasHeard = true;
  #isPaused = false;

  /** Watches for a silence of `silenceMsMax`, give or take a half. */
  constructor(owner: AbortSignal, silenceMsMax: number) {
    this.#owner = owner;
    this.#silenceMsMax = silenceMsMax;
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
    this.#isPaused = false;
  }

  /** What came is being dealt with, which may take long; `hear` ends that. */
  pause(): void {
    this.#isPaused = true;
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
    if (this.#isPaused) return;
    if (!this.#hasHeard) {
      this.#controller.abort(new SilenceError(`nothing came for ${this.#silenceMsMax} ms`));
    }
    this.#hasHeard = false;
  }
}
