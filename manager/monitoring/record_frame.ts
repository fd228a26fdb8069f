/** What goes over the pipes between the manager and its record process, as shared/pipe_frame.ts. */

import type { Question } from "../dashboard/api.ts";
import type { RunRecord } from "./record.ts";

/** Where the record process writes. */
export interface RecordPlaces {
  /** Absent when there is to be none. */
  readonly database?: string;
  /** Folder of TaskVine's logs; absent when there are to be none. */
  readonly vineLogs?: string;
  /** Folder of what failed tasks wrote; absent when it is not kept. */
  readonly outputs?: string;
}

/** What the manager tells its record process. */
export type RecordOrder =
  /** The first one. */
  | { readonly kind: "open"; readonly places: RecordPlaces }
  /** `atMs` has the instants of `records`. */
  | {
    readonly kind: "records";
    readonly atMs: readonly number[];
    readonly records: readonly RunRecord[];
  }
  | { readonly kind: "ask"; readonly questionId: number; readonly question: Question };

/** What the record process says. */
export type RecordReply =
  /** Everything up to then is in the database. */
  | { readonly kind: "recorded"; readonly atMs: number }
  /** An answer as JSON. */
  | { readonly kind: "answer"; readonly questionId: number; readonly json: Uint8Array }
  | { readonly kind: "refused"; readonly questionId: number; readonly message: string }
  /** Something is not recorded any more. */
  | { readonly kind: "trouble"; readonly message: string };
