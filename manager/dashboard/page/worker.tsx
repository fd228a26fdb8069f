/**
 * Page of one worker.
 *
 * @module
 */

import type { JSX } from "preact";

/** Page of one worker. */
export function Worker(_: { readonly id: string }): JSX.Element {
  return <h1>…</h1>;
}
