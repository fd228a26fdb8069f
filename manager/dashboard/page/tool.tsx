/**
 * A button with a sign, and its meaning for who cannot see it.
 *
 * @module
 */

import type { JSX } from "preact";

import { Icon, type IconName } from "./icon.tsx";

/** A button of a drawing. */
export function Tool(
  { label, icon, onClick }: {
    readonly label: string;
    readonly icon: IconName;
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
      <Icon name={icon} />
    </button>
  );
}
