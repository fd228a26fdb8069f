/**
 * Keys that work on every page: `g` and then a letter goes to a page, `/` to the search.
 *
 * @module
 */

import { hrefOf } from "./route.ts";

/** Pages as they stand in the navigation: `[name in the address, title, letter after g]` */
export const PAGES: readonly (readonly [page: string, title: string, letter: string])[] = [
  ["", "Overview", "o"],
  ["calls", "Calls", "c"],
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

/** Listens to the keys of the whole page; returns what ends it. */
export function listenToKeys(actions: KeyActions): () => void {
  // Whoever needs long between two keys has that time; any other key takes the `g` back.
  let isGoing = false;
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const page = isGoing ? PAGES.find(([, , letter]) => letter === event.key)?.[0] : undefined;
    isGoing = page === undefined && event.key === "g";
    if (page !== undefined) location.hash = hrefOf(page);
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
      target.closest("dialog[open]") !== null);
}
