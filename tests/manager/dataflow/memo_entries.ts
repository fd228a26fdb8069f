/** Entries of memo stores, made of numbers. */

import { createHash } from "node:crypto";

import type { MemoEntry } from "../../../manager/dataflow/memo_store.ts";
import { encodeValue } from "../../../shared/value.ts";

/** The key of that number. */
export function keyOf(number: number): string {
  return createHash("sha256").update(`call ${number}`).digest("hex");
}

/** An entry of that number, with what a test states. */
export function entryOf(number: number, stated: Partial<MemoEntry> = {}): MemoEntry {
  return {
    key: keyOf(number),
    app: "align",
    madeAtMs: 1_000 + number,
    ranMs: 2.5,
    value: { kind: "bytes", bytes: encodeValue({ number, text: "é" }) },
    outputs: {},
    ...stated,
  };
}
