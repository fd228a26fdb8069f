/**
 * What a component shows of the run: asked when it appears, and again when there is something new.
 *
 * @module
 */

import { useEffect, useRef, useState } from "preact/hooks";

import type { Answers, Question } from "../api.ts";
import { ask } from "./client.ts";
import { live } from "./live.ts";

/** An answer, as far as it is there. */
export interface Answer<Value> {
  /** The latest; undefined before the first. */
  readonly value: Value | undefined;
  /** Why there is no newer one. */
  readonly error: string | undefined;
  /** `value` is of an earlier question, and the answer of this one is on its way. */
  readonly isStale: boolean;
}

/** Least time between two askings of the same. */
const REFRESH_MS_MIN = 1_000;

/** What takes long to answer is asked less often: it may take that part of the manager's time. */
const REFRESH_SHARE = 0.1;

/** Asks, and asks again when the records have grown. Undefined asks nothing. */
export function useAnswer<Asked extends Question>(
  question: Asked | undefined,
): Answer<Answers[Asked["kind"]]> {
  type Value = Answers[Asked["kind"]];
  const [state, setState] = useState<{ key: string; value?: Value; error?: string }>({ key: "" });
  const key = question === undefined ? "" : JSON.stringify(question);
  const questionRef = useRef(question);
  questionRef.current = question;
  useEffect(() => {
    if (key === "") return;
    return follow(() => ask(questionRef.current as Asked), {
      take: (value) => setState({ key, value }),
      fail: (error) => setState((last) => ({ ...last, error: messageOf(error) })),
    });
  }, [key]);
  return { value: state.value, error: state.error, isStale: state.key !== key };
}

/** Who is told what was found. */
export interface Following<Found> {
  take(found: Found): void;
  /** It failed, and is tried again when something changes. */
  fail(error: unknown): void;
}

/**
 * Runs `look` now and when the records have grown, one at a time, never while nobody sees the page;
 * returns what ends it.
 */
export function follow<Found>(
  look: () => Promise<Found>,
  following: Following<Found>,
): () => void {
  let isEnded = false;
  let isLooking = false;
  let seenAtMs = -1;
  let timer: ReturnType<typeof setTimeout> | undefined;
  async function next(): Promise<void> {
    const { recordedAtMs, status } = live.get();
    if (isEnded || isLooking || timer !== undefined || document.hidden) return;
    if (seenAtMs >= recordedAtMs || (status === "lost" && seenAtMs >= 0)) return;
    seenAtMs = recordedAtMs;
    isLooking = true;
    const startedAtMs = performance.now();
    try {
      const found = await look();
      if (!isEnded) following.take(found);
    } catch (error) {
      seenAtMs = -1;
      if (!isEnded) following.fail(error);
    }
    isLooking = false;
    if (isEnded || seenAtMs === -1) return;
    const tookMs = performance.now() - startedAtMs;
    timer = setTimeout(() => {
      timer = undefined;
      void next();
    }, Math.max(REFRESH_MS_MIN, tookMs / REFRESH_SHARE));
  }
  const onChange = (): void => void next();
  const unsubscribe = live.subscribe(onChange);
  document.addEventListener("visibilitychange", onChange);
  onChange();
  return () => {
    isEnded = true;
    clearTimeout(timer);
    unsubscribe();
    document.removeEventListener("visibilitychange", onChange);
  };
}

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
