/**
 * Small drawings that stand beside words, so that colour never carries a meaning alone.
 *
 * @module
 */

import type { JSX } from "preact";

/** `{name: what is drawn in a square of 16 by 16}` */
const PATHS = {
  waiting: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M8 5v3.2l2.2 1.4",
  dispatched: "M8 2v8M4.5 6.8 8 10.2l3.5-3.4M3 13.5h10",
  running: "M5 3.2v9.6L12.5 8z",
  retrieving: "M8 10.5V2.3M4.5 5.6 8 2.2l3.5 3.4M3 13.5h10",
  joining: "M3 3v3.5c0 2 5 1.5 5 4.5v3M13 3v3.5c0 2-5 1.5-5 4.5",
  memory: "M8 2.5a5.5 5.5 0 1 1-5.3 4M2.5 2.8v3.7h3.7M8 5.4v3l2 1.3",
  success: "M3 8.6 6.4 12 13 4.4",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M3 8h10",
  connected: "M2.5 4h11v6.5h-11zM6 13.5h4M8 10.5v3",
  away: "M2.5 4h11v6.5h-11zM3 14 13.5 2.5",
  draining: "M3 3.5h10L9 8.5V12l-2 1.5v-5z",
  blocked: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 1 0 8 2.2M4 4l8 8",
  warning: "M8 2.5 14 13H2zM8 6.5v3M8 11.3v.2",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 1 0 0-9M10.4 10.4l3.4 3.4",
  up: "M8 13V3.5M4 7.2 8 3l4 4.2",
  down: "M8 3v9.5M4 8.8 8 13l4-4.2",
  sun:
    "M8 5a3 3 0 1 0 0 6 3 3 0 1 0 0-6M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.1 1.1M11.9 11.9 13 13M13 3l-1.1 1.1M4.1 11.9 3 13",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6z",
  close: "M4 4l8 8M12 4l-8 8",
  pause: "M5.5 3v10M10.5 3v10",
  previous: "M4 3.5v9M12 3.5 6.5 8l5.5 4.5z",
  next: "M12 3.5v9M4 3.5 9.5 8 4 12.5z",
  left: "M13 8H3.5M7.2 4 3 8l4.2 4",
  right: "M3 8h9.5M8.8 4 13 8l-4.2 4",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  flatter: "M3 6h10M3 10h10M8 1v2.5M8 15v-2.5",
  taller: "M3 4h10M3 12h10M8 6.2v3.6",
  vine: "M3.5 14C3.5 8 6 7.3 8 7.3s4.7-.6 4.7-4-4-2.7-4 0 2 2.7 2.7 1.3",
} as const;

/** A drawing. */
export type IconName = keyof typeof PATHS;

/** A drawing as high as the text beside it, which says the same: it is hidden from screen readers. */
export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
