/**
 * What a drawing tells of the thing that is pointed at or has the focus.
 *
 * @module
 */

import type { JSX, RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** A text beside a place of a canvas. */
export interface Tip {
  readonly text: { readonly title: string; readonly lines: readonly string[] };
  readonly at: { readonly x: number; readonly y: number };
}

const GAP_PX = 14;

/** Shows a text beside the place that it is about, within the window. */
export function Tooltip(
  { tip, box }: { readonly tip: Tip | undefined; readonly box: RefObject<HTMLElement> },
): JSX.Element {
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (tip === undefined || element.current === null || box.current === null) {
      return;
    }
    const { width, height } = element.current.getBoundingClientRect();
    const canvas = box.current.getBoundingClientRect();
    const x = canvas.left + tip.at.x + GAP_PX;
    const y = canvas.top + tip.at.y + GAP_PX;
    const left = x + width > innerWidth - 8 ? x - width - 2 * GAP_PX : x;
    const top = y + height > innerHeight - 8 ? y - height - 2 * GAP_PX : y;
    element.current.style.left = `${Math.max(left, 8)}px`;
    element.current.style.top = `${Math.max(top, 8)}px`;
  }, [tip]);
  return (
    <div class={`tooltip ${tip === undefined ? "hidden" : ""}`} role="status" ref={element}>
      {tip !== undefined && (
        <>
          <b>{tip.text.title}</b>
          {tip.text.lines.filter((line) => line !== "").map((line) => <div key={line}>{line}</div>)}
        </>
      )}
    </div>
  );
}
