/**
 * A canvas that is as large as its box and as sharp as the screen, and is painted again, at most
 * once a frame, when its size, the colours or what it shows change.
 *
 * @module
 */

import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { useStore } from "./store.ts";
import { CANVAS_COLOURS, type CanvasColour, colourOf, colours } from "./theme.ts";

/** What paints: in pixels of the page, on a canvas that has been cleared. */
export type Paint = (context: CanvasRenderingContext2D, size: CanvasSize) => void;

/** Size in pixels of the page. */
export interface CanvasSize {
  readonly widthPx: number;
  readonly heightPx: number;
}

/** Screens are told no sharper than this, so that a canvas takes a bounded memory. */
const PIXEL_RATIO_MAX = 3;

/** Keeps a canvas painted; what it returns asks for it to be painted again. */
export function usePainting(canvas: RefObject<HTMLCanvasElement>, paint: Paint): () => void {
  const latest = useRef(paint);
  latest.current = paint;
  const frame = useRef<number>();
  const repaint = useRef((): void => {
    frame.current ??= requestAnimationFrame(() => {
      frame.current = undefined;
      if (canvas.current !== null) {
        paintOnce(canvas.current, latest.current);
      }
    });
  }).current;
  useEffect(() => {
    const observer = new ResizeObserver(repaint);
    if (canvas.current !== null) {
      observer.observe(canvas.current);
    }
    return () => {
      observer.disconnect();
      if (frame.current !== undefined) {
        cancelAnimationFrame(frame.current);
        frame.current = undefined;
      }
    };
  }, []);
  useLayoutEffect(repaint);
  return repaint;
}

/** The colours of a canvas with those of `names` besides, read again when the theme changes. */
export function useColours<Name extends string>(
  names: readonly Name[],
): Readonly<Record<Name | CanvasColour, string>> {
  type Palette = Readonly<Record<Name | CanvasColour, string>>;
  const version = useStore(colours);
  const known = useRef<{ readonly version: number; readonly palette: Palette }>();
  if (known.current?.version !== version) {
    const palette = Object.fromEntries(
      [...CANVAS_COLOURS, ...names].map((name) => [name, colourOf(name)]),
    );
    known.current = { version, palette: palette as Palette };
  }
  return known.current.palette;
}

/** Where a pointer is in an element, in pixels of the page. */
export function pointIn(
  element: Element,
  event: { readonly clientX: number; readonly clientY: number },
): { readonly x: number; readonly y: number } {
  const box = element.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

function paintOnce(canvas: HTMLCanvasElement, paint: Paint): void {
  const ratio = Math.min(devicePixelRatio || 1, PIXEL_RATIO_MAX);
  const widthPx = canvas.clientWidth;
  const heightPx = canvas.clientHeight;
  const width = Math.round(widthPx * ratio);
  const height = Math.round(heightPx * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  if (context === null || width === 0 || height === 0) {
    return;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, widthPx, heightPx);
  paint(context, { widthPx, heightPx });
}
