/**
 * The clock of a replay: it plays, stops, jumps, and goes along with a run that goes on.
 *
 * @module
 */

import type { RefObject } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { Vine } from "../api.ts";
import { lowerBound } from "./lane_layout.ts";
import { stepsOf } from "./vine_flow.ts";

/** A replay, and what a person does with it. */
export interface Replay {
  /** The instant that is drawn, to the frame. */
  atMs(): number;
  /** The same, a few times a second: for texts. */
  readonly shownAtMs: number;
  readonly isPlaying: boolean;
  readonly speed: number;
  /** Nothing moves by itself: there are steps instead. */
  readonly isMotionReduced: boolean;
  readonly slider: RefObject<HTMLInputElement>;
  toggle(): void;
  /** To a share of all the time. */
  seek(share: number): void;
  /** To where the next transfer begins or ends, or the one before. */
  step(by: -1 | 1): void;
  setSpeed(speed: number): void;
}

/** All of it is replayed in so long at speed 1. */
const REPLAY_MS = 14_000;

/** How often texts tell where the replay is. */
const TEXT_MS = 200;

/** Steps of a replay at most: more are passed over. */
const STEPS_MAX = 200;

/** A replay of a vine; it begins at the end, where all is grown. */
export function useReplay(vine: Vine, repaint: () => void): Replay {
  const slider = useRef<HTMLInputElement>(null);
  const clock = useRef({ atMs: vine.toMs, isAtEnd: true });
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const [shownAtMs, setShown] = useState(vine.toMs);
  const steps = useMemo(() => fewSteps(stepsOf(vine)), [vine]);
  const isMotionReduced = useMemo(
    () => matchMedia("(prefers-reduced-motion: reduce)").matches,
    [],
  );

  function goTo(atMs: number): void {
    const kept = Math.min(Math.max(atMs, vine.fromMs), vine.toMs);
    clock.current = { atMs: kept, isAtEnd: kept >= vine.toMs };
    if (slider.current !== null) {
      slider.current.value = String(shareOf(vine, kept) * 1000);
    }
    repaint();
  }

  // A run that goes on is followed while its end is looked at.
  useEffect(() => {
    goTo(clock.current.isAtEnd ? vine.toMs : clock.current.atMs);
    setShown(clock.current.atMs);
  }, [vine]);
  useEffect(() => {
    if (!isPlaying) {
      return;
    }
    if (clock.current.isAtEnd) {
      goTo(vine.fromMs);
    }
    return playFrames((passedMs) => {
      const spanMs = vine.toMs - vine.fromMs;
      goTo(clock.current.atMs + (passedMs * speed * spanMs) / REPLAY_MS);
      if (clock.current.isAtEnd) {
        setPlaying(false);
        setShown(vine.toMs);
      }
    }, () => setShown(clock.current.atMs));
  }, [isPlaying, speed, vine]);

  function jump(atMs: number): void {
    setPlaying(false);
    goTo(atMs);
    setShown(clock.current.atMs);
  }

  return {
    atMs: () => clock.current.atMs,
    shownAtMs,
    isPlaying,
    speed,
    isMotionReduced,
    slider,
    toggle: () => setPlaying((isOn) => !isOn),
    seek: (share) => jump(vine.fromMs + share * (vine.toMs - vine.fromMs)),
    step: (by) => {
      const { atMs } = clock.current;
      const after = lowerBound(steps.length, (index) => (steps[index] ?? 0) > atMs);
      const at = lowerBound(steps.length, (index) => (steps[index] ?? 0) >= atMs);
      jump(steps[by > 0 ? after : at - 1] ?? (by > 0 ? vine.toMs : vine.fromMs));
    },
    setSpeed,
  };
}

/** Calls before each frame with the time since the last; returns what ends it. */
function playFrames(frame: (passedMs: number) => void, text: () => void): () => void {
  let lastMs = performance.now();
  let toldMs = lastMs;
  let id = requestAnimationFrame(next);
  function next(nowMs: number): void {
    id = requestAnimationFrame(next);
    frame(Math.max(nowMs - lastMs, 0));
    lastMs = nowMs;
    if (nowMs - toldMs >= TEXT_MS) {
      toldMs = nowMs;
      text();
    }
  }
  return () => cancelAnimationFrame(id);
}

function shareOf(vine: Vine, atMs: number): number {
  return (atMs - vine.fromMs) / Math.max(vine.toMs - vine.fromMs, 1);
}

function fewSteps(steps: readonly number[]): readonly number[] {
  const stride = Math.max(Math.ceil(steps.length / STEPS_MAX), 1);
  return steps.filter((_, index) => index % stride === 0 || index === steps.length - 1);
}
