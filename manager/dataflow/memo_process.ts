/**
 * The child of this program that owns a memo file: whoever waits for a disk there, the manager does
 * not. One that dies, or does not answer, is started once more and asked again what it has not
 * answered: every order may be carried out twice.
 *
 * @module
 */

import { PipedChild } from "../../shared/runtime/piped_child.ts";
import type { MemoAnswers, MemoOrder, MemoReply, MemoRequest } from "./memo_frame.ts";

/** Default of how long an answer is waited for: longer than a file may be busy. */
const ANSWER_MS_MAX = 60_000;

/** How often a process is started in the place of one that died. */
const RESTARTS_MAX = 1;

/** How long it has for what is left at the end. */
const CLOSE_MS_MAX = 30_000;

/** What a memo process is started with. */
export interface MemoProcessOptions {
  /** Runs `runMemoCommand`. */
  readonly command: readonly string[];
  /** Of the file; absolute. */
  readonly path: string;
  /** A file that is not there is made. */
  readonly isNewAllowed: boolean;
  /** Told when it had to be started again. */
  readonly onTrouble: (message: string) => void;
  /** An answer is waited for that long; default 60 s. */
  readonly answerMsMax?: number | undefined;
}

interface Asked {
  readonly order: MemoOrder;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Owner of the process. */
export class MemoProcess implements AsyncDisposable {
  readonly #options: MemoProcessOptions;
  /** In the order in which they were asked. */
  readonly #asked: Map<number, Asked> = new Map();
  #child: PipedChild<MemoRequest, MemoReply>;
  #lastId = 0;
  #restartCount = 0;
  /** Why nothing is asked any more. */
  #fault: string | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: MemoProcessOptions) {
    this.#options = options;
    this.#child = this.#start();
  }

  /** Process id. */
  get processId(): number | undefined {
    return this.#child.processId;
  }

  /** Opens the file; comes before everything else. */
  async open(): Promise<void> {
    const { path, isNewAllowed } = this.#options;
    await this.ask({ kind: "open", path, isNewAllowed });
  }

  /**
   * Resolves to the answer to `order`.
   *
   * @throws {Error} When it is refused, or there is no process any more.
   */
  ask<Order extends MemoOrder>(order: Order): Promise<MemoAnswers[Order["kind"]]> {
    if (this.#fault !== undefined) return Promise.reject(this.#refusal(this.#fault));
    const { promise, resolve, reject } = Promise.withResolvers<MemoAnswers[Order["kind"]]>();
    const asked: Asked = {
      order,
      // The process answers an order with what its kind says.
      resolve: (answer) => resolve(answer as MemoAnswers[Order["kind"]]),
      reject,
      timer: undefined,
    };
    this.#lastId += 1;
    this.#asked.set(this.#lastId, asked);
    this.#send(this.#lastId, asked);
    return promise;
  }

  /** Waits until everything that was asked is done, within limits. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#fault ??= "it is closed";
    await this.#child.close(CLOSE_MS_MAX);
    this.#refuseAll("it did not answer in time");
  }

  #start(): PipedChild<MemoRequest, MemoReply> {
    return new PipedChild<MemoRequest, MemoReply>({
      command: this.#options.command,
      onReply: (reply) => this.#hear(reply),
      onEnd: (reason) => this.#mourn(reason),
    });
  }

  #send(id: number, asked: Asked): void {
    clearTimeout(asked.timer);
    // It also keeps this process from ending before the answer.
    const { answerMsMax = ANSWER_MS_MAX } = this.#options;
    asked.timer = setTimeout(() => this.#child.kill(), answerMsMax);
    if (this.#child.send({ id, order: asked.order }) === undefined) {
      this.#take(id)?.reject(this.#refusal("it was told too much at once"));
    }
  }

  #hear(reply: MemoReply): void {
    const asked = this.#take(reply.id);
    if ("refused" in reply) asked?.reject(new Error(reply.refused));
    else asked?.resolve(reply.answer);
  }

  #mourn(reason: string): void {
    if (this.#fault !== undefined || this.#restartCount >= RESTARTS_MAX) {
      this.#fault ??= reason;
      return this.#refuseAll(reason);
    }
    this.#restartCount += 1;
    this.#options.onTrouble(
      `Started the owner of memo file "${this.#options.path}" anew: ${reason}`,
    );
    const unanswered = [...this.#asked];
    this.#child = this.#start();
    if (unanswered[0]?.[1].order.kind !== "open") {
      this.open().catch((error: unknown) => {
        this.#fault = error instanceof Error ? error.message : String(error);
      });
    }
    for (const [id, asked] of unanswered) this.#send(id, asked);
  }

  #take(id: number): Asked | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    clearTimeout(asked?.timer);
    return asked;
  }

  #refuseAll(reason: string): void {
    for (const id of [...this.#asked.keys()]) this.#take(id)?.reject(this.#refusal(reason));
  }

  #refusal(reason: string): Error {
    return new Error(`Cannot use memo file "${this.#options.path}": ${reason}`);
  }
}
