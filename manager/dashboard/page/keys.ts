/**
 * Keys that work on every page: `g` and then a letter goes to a page, `/` to the search.
 *
 * @module
 */

import { hrefOf } from "./route.ts";

/** Pages as they stand in the navigation: `[name in the address, title, letter after g]` */
export const PAGES: readonly (readonly [page: string, title: string, letter: string])[] = [
  ["", "Overview", "o"],
  ["tasks", "Tasks", "t"],
  ["timeline", "Timeline", "l"],
  ["workers", "Workers", "w"],
  ["data", "Data", "d"],
  ["vine", "Vine", "v"],
  ["graph", "Graph", "g"],
];

/** What keys may ask for. */
export interface KeyActions {
  /** Shows or hides the list of keys. */
  readonly help: () => void;
  readonly theme: () => void;
}

/** Longest time between `g` and its letter. */
const PAIR_MS_MAX = 1_500;

/** Listens to the keys of the whole page; returns what ends it. */
export function listenToKeys(actions: KeyActions): () => void {
  let goneAtMs = -Infinity;
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.timeStamp - goneAtMs < PAIR_MS_MAX) {
      goneAtMs = -Infinity;
      const found = PAGES.find(([, , letter]) => letter === event.key);
      if (found) location.hash = hrefOf(found[0]);
      return;
    }
    if (event.key === "g") goneAtMs = event.timeStamp;
    else if (event.key === "?") actions.help();
    else if (event.key === "\\") actions.theme();
    else if (event.key === "/") goToSearch(event);
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

function goToSearch(event: KeyboardEvent): void {
  const search = document.querySelector<HTMLInputElement>('input[type="search"]');
  if (search === null) return;
  event.preventDefault();
  search.focus();
  search.select();
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) ||
      target.closest("dialog") !== null);
}
