/**
 * Rows of a table that the manager sorts and filters: only those around what is in sight are asked
 * for, and again when there is something new.
 *
 * @module
 */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import type { Rows } from "../api.ts";
import { follow, messageOf } from "./answer.ts";

/** Gives a part of the rows. */
export type AskRows<Row> = (part: {
  readonly offset: number;
  readonly limit: number;
}) => Promise<Rows<Row>>;

/** What is known of the rows. */
export interface RowWindow<Row> {
  /** Of all rows; undefined before the first answer. */
  readonly total: number | undefined;
  /** Undefined while it is on its way. */
  readonly rowAt: (index: number) => Row | undefined;
  /** To be told what is in sight. */
  readonly onRange: (first: number, last: number) => void;
  readonly error: string | undefined;
  /** What is shown is of an earlier question. */
  readonly isStale: boolean;
}

/** A part of the rows as it came. */
interface Part<Row> {
  readonly key: string;
  readonly offset: number;
  readonly total: number;
  readonly rows: readonly Row[];
}

/** Rows that are asked for at once: what is in sight, and as many around it. */
const PART_ROWS = 200;

/** While a person scrolls, nothing is asked for. */
const SETTLE_MS = 80;

/** The part to ask for when those from `first` to before `last` are in sight. */
export function partAround(first: number, last: number): { offset: number; limit: number } {
  const spare = Math.max(0, Math.floor((PART_ROWS - (last - first)) / 2));
  return { offset: Math.max(0, first - spare), limit: Math.max(PART_ROWS, last - first) };
}

/** Asks for rows; `key` tells one question from another. */
export function useRows<Row>(key: string, askRows: AskRows<Row>): RowWindow<Row> {
  const [part, setPart] = useState<Part<Row>>();
  const [error, setError] = useState<string>();
  const asking = useRef({ key, askRows, offset: 0, limit: PART_ROWS });
  if (asking.current.key !== key) asking.current = { key, askRows, offset: 0, limit: PART_ROWS };
  asking.current.askRows = askRows;
  const timer = useRef<ReturnType<typeof setTimeout>>();

  const look = useCallback(async (): Promise<Part<Row>> => {
    const { key, askRows, offset, limit } = asking.current;
    return { key, offset, ...await askRows({ offset, limit }) };
  }, []);
  const take = useCallback((found: Part<Row>): void => {
    // An answer that was overtaken by a newer question is of no use.
    if (found.key !== asking.current.key || found.offset !== asking.current.offset) return;
    setError(undefined);
    setPart(found);
  }, []);
  const fail = useCallback((reason: unknown): void => {
    setError(messageOf(reason));
  }, []);

  useEffect(() => follow(look, { take, fail }), [key]);
  useEffect(() => () => clearTimeout(timer.current), []);

  const onRange = useCallback((first: number, last: number): void => {
    clearTimeout(timer.current);
    const { offset, limit } = asking.current;
    if (first >= offset && last <= offset + limit) return;
    timer.current = setTimeout(() => {
      Object.assign(asking.current, partAround(first, last));
      look().then(take, fail);
    }, SETTLE_MS);
  }, []);
  const rowAt = useCallback((index: number) => part?.rows[index - part.offset], [part]);
  return { total: part?.total, rowAt, onRange, error, isStale: part?.key !== key };
}
