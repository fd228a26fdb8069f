/** A worker as a link to its page. */

import type { JSX } from "preact";

import { shortId } from "./format.ts";
import { hrefOf } from "./route.ts";

/** Its id, as much as is needed. */
export function WorkerLink({ workerId }: { readonly workerId: string }): JSX.Element {
  return <a href={hrefOf("workers", workerId)} title={workerId}>{shortId(workerId)}</a>;
}
