/**
 * The vine: how bytes spread from the manager through the cluster, as a plant that grows.
 *
 * @module
 */

import type { JSX } from "preact";

import { useAnswer } from "./answer.ts";
import type { FileRow } from "../api.ts";
import { bytes, plural, shorten } from "./format.ts";
import { Problem } from "./layout.tsx";
import { hrefOf } from "./route.ts";
import { VineDrawing } from "./vine_drawing.tsx";

/** Transfers of one drawing at most: the largest are told. */
const TRANSFERS_MAX = 10_000;

/** Files to choose from: those that were moved most often. */
const CHOICES = 30;

/** Page "Vine". */
export function VinePage({ params }: { readonly params: URLSearchParams }): JSX.Element {
  const text = params.get("file");
  const fileId = text === null || !/^\d+$/.test(text) ? undefined : Number(text);
  return (
    <>
      <div class="page-head">
        <h1>The vine</h1>
        <p class="soft">
          {fileId === undefined ? "How all files" : "How one file"} went from node to node.
        </p>
        <Choice fileId={fileId} />
      </div>
      <VineOf fileId={fileId} />
    </>
  );
}

/** The vine of one file, or of all. */
export function VineOf({ fileId }: { readonly fileId: number | undefined }): JSX.Element {
  const { value, error, isStale } = useAnswer({
    kind: "vine",
    transfersMax: TRANSFERS_MAX,
    ...(fileId !== undefined && { fileId }),
  });
  if (error !== undefined) return <Problem text={error} />;
  if (value === undefined || isStale) return <p class="empty">Growing…</p>;
  if (value.edges.length === 0) {
    return (
      <p class="empty">
        {fileId === undefined ? "Nothing has been moved yet." : "This file has not been moved."}
      </p>
    );
  }
  return <VineDrawing vine={value} />;
}

function Choice({ fileId }: { readonly fileId: number | undefined }): JSX.Element {
  const { value } = useAnswer({
    kind: "files",
    sort: "transfers",
    isDescending: true,
    offset: 0,
    limit: CHOICES,
  });
  const rows = value?.rows.filter((row) => row.transfers > 0) ?? [];
  const isOther = fileId !== undefined && !rows.some((row) => row.fileId === fileId);
  return (
    <label class="drawing-choice">
      Of{" "}
      <select
        value={fileId ?? ""}
        onChange={(event) => {
          const chosen = event.currentTarget.value;
          location.hash = hrefOf(
            "vine",
            undefined,
            new URLSearchParams(chosen === "" ? {} : { file: chosen }),
          );
        }}
      >
        <option value="">all files</option>
        {isOther && <option value={fileId}>file {fileId}</option>}
        {rows.map((row) => <option key={row.fileId} value={row.fileId}>{choiceText(row)}</option>)}
      </select>
    </label>
  );
}

function choiceText(row: FileRow): string {
  const name = shorten(row.source ?? row.cacheName ?? row.kind, 40);
  return `${row.fileId} ${name}: ${plural(row.transfers, "transfer")} of ${bytes(row.sizeBytes)}`;
}
