/**
 * Hands questions to whoever has the records, and answers back: of many alike that come while the
 * first is under way, only that one is asked.
 */

import type { Question } from "./api.ts";

/** Questions under way at a time; each may hold an answer of some megabytes. */
const QUESTIONS_MAX = 64;

/** Longest wait for an answer. */
const ANSWER_MS_MAX = 30_000;

/** Answers a question from the records of a run with JSON in UTF-8; undefined while there are none. */
export type Ask = (question: Question) => Promise<Uint8Array> | undefined;

/** Too much is asked, or no answer comes. */
export class BusyError extends Error {
  override readonly name = "BusyError";
}

/** The questions of all viewers. */
export class AskDesk {
  readonly #ask: Ask;
  readonly #answerMsMax: number;
  readonly #pending: Map<string, Promise<Uint8Array>> = new Map();

  constructor(ask: Ask, answerMsMax: number = ANSWER_MS_MAX) {
    this.#ask = ask;
    this.#answerMsMax = answerMsMax;
  }

  /**
   * The answer as JSON in UTF-8; undefined while nothing is recorded.
   *
   * @throws {BusyError} When too many are under way, or it takes too long.
   */
  async ask(question: Question): Promise<Uint8Array | undefined> {
    const key = JSON.stringify(question);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(new BusyError(`Cannot wait for the records for more than ${this.#answerMsMax} ms`));
    }, this.#answerMsMax);
    try {
      return await Promise.race([this.#pending.get(key) ?? this.#begin(key, question), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #begin(key: string, question: Question): Promise<Uint8Array> | undefined {
    if (this.#pending.size >= QUESTIONS_MAX) {
      throw new BusyError(`Cannot take more than ${QUESTIONS_MAX} questions at a time`);
    }
    // What nobody waits for any more keeps its place until it is answered.
    const answer = this.#ask(question)?.finally(() => this.#pending.delete(key));
    if (answer === undefined) return undefined;
    answer.catch(() => {
      // Whoever waits for it is told.
    });
    this.#pending.set(key, answer);
    return answer;
  }
}
