/**
 * Tables of transfers: from where to where, how far, and what became of them.
 *
 * @module
 */

import type { JSX } from "preact";

import type { TransferRow } from "../api.ts";
import { bytes, duration, instant, percent, shorten } from "./format.ts";
import { Icon } from "./icon.tsx";
import { hrefOf } from "./route.ts";

/** Longest name of a file or message in a table. */
const NAME_LENGTH = 48;

/** What a table of transfers shows. */
export interface TransferTableProps {
  readonly rows: readonly TransferRow[];
  /** All are of one file: it is not named in each row. */
  readonly isOneFile: boolean;
  /** What goes on has gone on until then. */
  readonly nowMs: number | undefined;
}

/** A table of transfers. */
export function TransferTable({ rows, isOneFile, nowMs }: TransferTableProps): JSX.Element {
  return (
    <div class="scroll-x scroll-y">
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">State</th>
            {!isOneFile && <th scope="col">File</th>}
            <th scope="col">From</th>
            <th scope="col">To</th>
            <th scope="col" class="number">Moved</th>
            <th scope="col">Began</th>
            <th scope="col" class="number">Took</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.transferId}>
              <td>
                <TransferMark row={row} />
              </td>
              {!isOneFile && (
                <td>
                  <a href={hrefOf("data", row.fileId)}>{row.fileId}</a>{" "}
                  <span class="soft">{shorten(row.file, NAME_LENGTH)}</span>
                </td>
              )}
              <td>
                <End kind={row.source} id={row.source === "worker" ? row.sourceId : null} />
              </td>
              <td>
                <End kind={row.target} id={row.target === "worker" ? row.workerId : null} />
              </td>
              <td class="number">
                <Moved row={row} />
              </td>
              <td>{instant(row.startedAtMs, nowMs)}</td>
              <td class="number">
                {duration((row.endedAtMs ?? nowMs ?? row.startedAtMs) - row.startedAtMs)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** `{state: its drawing, as of tasks}` */
const MARKS = {
  running: "running",
  done: "success",
  failed: "failed",
  called_off: "cancelled",
} as const;

/** `{state: its words}` */
const WORDS = {
  running: "on the way",
  done: "done",
  failed: "failed",
  called_off: "called off",
} as const;

function TransferMark({ row }: { readonly row: TransferRow }): JSX.Element {
  return (
    <span class={`mark mark-${MARKS[row.state]}`} title={row.message ?? undefined}>
      <Icon name={MARKS[row.state]} /> {WORDS[row.state]}
      {row.state === "failed" && row.message !== null && (
        <span class="soft">{shorten(row.message, NAME_LENGTH)}</span>
      )}
    </span>
  );
}

/** How much of what is to move has moved. */
function Moved({ row }: { readonly row: TransferRow }): JSX.Element {
  const { state, movedBytes, sizeBytes } = row;
  if (state !== "running" || sizeBytes === null || sizeBytes === 0) return <>{bytes(movedBytes)}</>;
  return (
    <span class="moved">
      <progress max={sizeBytes} value={movedBytes} aria-label={`File ${row.fileId}`} />
      {bytes(movedBytes)} of {bytes(sizeBytes)}, {percent(movedBytes, sizeBytes)}
    </span>
  );
}

function End({ kind, id }: { readonly kind: string; readonly id: string | null }): JSX.Element {
  return id === null ? <>{END_WORDS[kind] ?? kind}</> : <a href={hrefOf("workers", id)}>{id}</a>;
}

const END_WORDS: { readonly [kind: string]: string } = {
  manager: "manager",
  url: "the web",
  recipe: "made there",
};
