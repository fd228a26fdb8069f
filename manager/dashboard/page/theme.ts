/**
 * Light or dark: as the system says, or as the person chose.
 *
 * @module
 */

import { makeStore, type Store } from "./store.ts";

/** What the person chose; `auto` follows the system. */
export type Theme = "auto" | "light" | "dark";

const KEY = "tendril-theme";

const SYSTEM_IS_DARK = "(prefers-color-scheme: dark)";

/** What whatever is drawn on a canvas is painted with: names of variables of the style sheet. */
export const CANVAS_COLOURS = [
  "card",
  "line",
  "grid",
  "ink",
  "ink-soft",
  "accent",
  "failed",
] as const;

/** One of these. */
export type CanvasColour = typeof CANVAS_COLOURS[number];

/** What the person chose. */
export const theme: Store<Theme> = makeStore<Theme>("auto");

/** Grows when colours changed, so that canvases are drawn again. */
export const colours: Store<number> = makeStore(0);

/** Takes up what was chosen before, and follows the system. */
export function openTheme(): void {
  matchMedia(SYSTEM_IS_DARK).addEventListener("change", countChange);
  theme.subscribe(() => {
    const chosen = theme.get();
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    keep(chosen);
    countChange();
  });
  const kept = recall();
  if (kept === "light" || kept === "dark") theme.set(kept);
}

/** Takes the other of what is seen. */
export function switchTheme(): void {
  theme.set(isDark() ? "light" : "dark");
}

/** Is the page dark now? */
export function isDark(): boolean {
  const chosen = theme.get();
  return chosen === "auto" ? matchMedia(SYSTEM_IS_DARK).matches : chosen === "dark";
}

/** The colour that a variable of the style sheet stands for now, as `"running"` for `--running`. */
export function colourOf(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.documentElement.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function countChange(): void {
  colours.set(colours.get() + 1);
}

function keep(chosen: Theme): void {
  try {
    if (chosen === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
  } catch {
    // A page from a file may keep nothing; the choice holds until it is closed.
  }
}

function recall(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
