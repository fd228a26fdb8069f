/**
 * How much of a whole is used, as a bar beside its numbers.
 *
 * @module
 */

import type { JSX } from "preact";

/** How much of a whole is used; more than the whole is told by its colour and its full length. */
export function UseBar(
  { used, of }: { readonly used: number | null; readonly of: number | null },
): JSX.Element | null {
  if (used === null || of === null || of <= 0) return null;
  const part = used / of;
  return (
    <span class="use" title={`${Math.round(part * 100)} %`}>
      <i class={part > 1 ? "is-over" : ""} style={{ width: `${Math.min(1, part) * 100}%` }} />
    </span>
  );
}
