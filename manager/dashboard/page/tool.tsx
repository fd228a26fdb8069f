/**
 * A button with a sign, and its meaning for who cannot see it.
 *
 * @module
 */

import type { JSX } from "preact";

/** A button of a drawing. */
export function Tool(
  { label, text, onClick }: {
    readonly label: string;
    readonly text: string;
    readonly onClick: () => void;
  },
): JSX.Element {
  return (
    <button
      type="button"
      class="button icon-button"
      aria-label={label}
      title={label}
      onClick={onClick}
    >
      {text}
    </button>
  );
}
