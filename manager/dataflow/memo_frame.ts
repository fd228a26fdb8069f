/** What goes over the pipes between a memo store and its process, as shared/pipe_frame.ts. */

import type { MemoFilter, MemoSummary, RememberedDigest } from "./memo_store.ts";

/** An entry as it is stored. */
export interface MemoRow {
  readonly summary: MemoSummary;
  /** As `encodeEntry` wrote it. */
  readonly body: Uint8Array;
}

/** What the process is told; each is answered. */
export type MemoOrder =
  /** The first one. */
  | { readonly kind: "open"; readonly path: string; readonly isNewAllowed: boolean }
  | { readonly kind: "get"; readonly keys: readonly string[] }
  | {
    readonly kind: "write";
    readonly rows: readonly MemoRow[];
    readonly digests: readonly RememberedDigest[];
  }
  /** One page: what comes after the row of that number. */
  | { readonly kind: "list"; readonly filter: MemoFilter; readonly after: number }
  | { readonly kind: "forget"; readonly filter: MemoFilter; readonly after: number }
  /** Forgets the digests of files. */
  | { readonly kind: "reset" }
  /** Gives a part of the room of what was forgotten back. */
  | { readonly kind: "shrink" }
  | {
    readonly kind: "recall";
    readonly files: readonly Pick<RememberedDigest, "path" | "stamp">[];
  };

/** `{kind of an order: what answers it}`. */
export interface MemoAnswers {
  readonly open: null;
  /** Of the first keys, as many as fit one answer: what is stored, or null. */
  readonly get: { readonly bodies: readonly (Uint8Array | null)[]; readonly damagedCount: number };
  readonly write: null;
  /** `next` is the number that the next page comes after, or null. */
  readonly list: { readonly summaries: readonly MemoSummary[]; readonly next: number | null };
  readonly forget: { readonly count: number; readonly next: number | null };
  readonly reset: null;
  /** Whether nothing is left to give back. */
  readonly shrink: boolean;
  readonly recall: readonly (string | null)[];
}

/** An order with what its answer is found by. */
export interface MemoRequest {
  readonly id: number;
  readonly order: MemoOrder;
}

/** What the process says to a request. */
export type MemoReply =
  | { readonly id: number; readonly answer: MemoAnswers[MemoOrder["kind"]] }
  | { readonly id: number; readonly refused: string };
