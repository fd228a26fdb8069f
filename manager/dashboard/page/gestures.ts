/**
 * Pointers and the wheel as what a person means by them: move, zoom around a place, point, pick.
 *
 * @module
 */

import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { pointIn } from "./canvas.ts";

/** A place in the element, in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** Who is told what a person does. */
export interface Gestures {
  /** Dragged, or moved with the wheel sideways, by so much. */
  pan(by: Place): void;
  /** By a factor around a place; below 1 is nearer. */
  zoom(factor: number, around: Place): void;
  /** The pointer is there; undefined when it has left. */
  point(at: Place | undefined): void;
  /** Clicked or tapped. */
  pick(at: Place): void;
  /** Whether the wheel scrolls the page there, as it does everywhere else. Default: it zooms. */
  isScrolling?(at: Place): boolean;
}

/** A press that moves no further is a click. */
const CLICK_PX_MAX = 5;

/** One notch of a common wheel turns by 100. */
const WHEEL_ZOOM = 0.0022;

/** A wheel that counts lines or pages instead of pixels. */
const WHEEL_MODE_PX: readonly number[] = [1, 16, 400];

/** Follows what a person does with an element. */
export function useGestures(
  element: RefObject<HTMLElement | SVGElement>,
  gestures: Gestures,
): void {
  const latest = useRef(gestures);
  latest.current = gestures;
  useEffect(() => {
    const target = element.current;
    if (target === null) {
      return;
    }
    const ended = new AbortController();
    const options = { signal: ended.signal };
    followWheel(target, () => latest.current, ended.signal);
    followPointers(target, () => latest.current, options);
    return () => ended.abort();
  }, []);
}

function followWheel(
  target: HTMLElement | SVGElement,
  gestures: () => Gestures,
  signal: AbortSignal,
): void {
  const onWheel = (event: Event): void => {
    if (!(event instanceof WheelEvent)) {
      return;
    }
    const at = pointIn(target, event);
    if (!event.ctrlKey && gestures().isScrolling?.(at)) {
      return;
    }
    event.preventDefault();
    const unitPx = WHEEL_MODE_PX[event.deltaMode] ?? 1;
    const x = event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX;
    if (event.shiftKey || Math.abs(x) > Math.abs(event.deltaY)) {
      return gestures().pan({ x: -x * unitPx, y: 0 });
    }
    // Two fingers on a pad are told as a wheel with Ctrl, in small steps.
    const strength = event.ctrlKey && Math.abs(event.deltaY) < 50 ? 5 : 1;
    gestures().zoom(Math.exp(event.deltaY * unitPx * WHEEL_ZOOM * strength), at);
  };
  target.addEventListener("wheel", onWheel, { passive: false, signal });
}

function followPointers(
  target: HTMLElement | SVGElement,
  gestures: () => Gestures,
  options: { readonly signal: AbortSignal },
): void {
  const held = new Map<number, Place>();
  let movedPx = 0;
  const on = (name: string, listener: (event: PointerEvent) => void): void =>
    target.addEventListener(name, (event) => listener(event as PointerEvent), options);

  on("pointerdown", (event) => {
    if (event.button !== 0) {
      return;
    }
    movedPx = held.size === 0 ? 0 : Infinity;
    held.set(event.pointerId, pointIn(target, event));
  });
  on("pointermove", (event) => {
    const at = pointIn(target, event);
    const before = held.get(event.pointerId);
    if (before === undefined) {
      return gestures().point(at);
    }
    movedPx += Math.hypot(at.x - before.x, at.y - before.y);
    if (held.size === 1 && movedPx <= CLICK_PX_MAX) {
      return;
    }
    if (!target.hasPointerCapture(event.pointerId)) {
      target.setPointerCapture(event.pointerId);
    }
    held.set(event.pointerId, at);
    const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
    gestures().pan({
      x: (at.x - before.x) / held.size,
      y: (at.y - before.y) / held.size,
    });
    if (other !== undefined) {
      pinch(gestures(), before, at, other);
    }
  });
  on("pointerup", (event) => {
    if (held.delete(event.pointerId) && held.size === 0 && movedPx <= CLICK_PX_MAX) {
      gestures().pick(pointIn(target, event));
    }
  });
  on("pointercancel", (event) => held.delete(event.pointerId));
  on("pointerleave", () => gestures().point(undefined));
}

function pinch(gestures: Gestures, before: Place, at: Place, other: Place): void {
  const beforePx = Math.hypot(before.x - other.x, before.y - other.y);
  const atPx = Math.hypot(at.x - other.x, at.y - other.y);
  if (beforePx > 0 && atPx > 0) {
    gestures.zoom(beforePx / atPx, { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 });
  }
}
