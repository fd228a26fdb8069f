/**
 * The run that all pages are about.
 *
 * @module
 */

import type { RunInfo } from "../api.ts";
import { type Store, useStore } from "./store.ts";
import { makeStore } from "./store.ts";

/** The run, once it is known. */
export const run: Store<RunInfo | undefined> = makeStore<RunInfo | undefined>(undefined);

/** The run, once it is known. */
export function useRun(): RunInfo | undefined {
  return useStore(run);
}

/** The latest instant that the records know of, to which lengths of what goes on are told. */
export function nowOf(info: RunInfo | undefined): number | undefined {
  return info === undefined ? undefined : info.endedAtMs ?? info.recordedAtMs;
}
