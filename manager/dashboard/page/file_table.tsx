/**
 * What tables and pages say of files.
 *
 * @module
 */

import type { FileRow } from "../api.ts";
import { bytes, count } from "./format.ts";
import type { Column } from "./table.tsx";

/** `{level: what it means}` */
export const LEVEL_WORDS: { readonly [level: string]: string } = {
  task: "until its tasks have ended",
  workflow: "until the run ends",
  worker: "until the worker ends",
  forever: "kept at workers",
};

/** `{kind: its words}` */
const KIND_WORDS: { readonly [kind: string]: string } = {
  local: "local file",
  url: "from the web",
  temp: "temporary",
};

/** What a kind of file is called. */
export function kindWords(kind: string): string {
  return KIND_WORDS[kind] ?? kind.replaceAll("_", " ");
}

/** What a file is called. */
export function fileName(row: Pick<FileRow, "source" | "cacheName" | "kind">): string {
  return row.source ?? row.cacheName ?? kindWords(row.kind);
}

const NUMBER = { isSortable: true, isNumber: true } as const;

/** Columns of files. */
export const FILE_COLUMNS: readonly Column<FileRow>[] = [
  { key: "id", title: "File", width: 76, ...NUMBER, isNarrow: true, cell: (row) => row.fileId },
  {
    key: "name",
    title: "Name",
    isNarrow: true,
    cell: (row) => (
      <span title={fileName(row)}>
        <span class="name">{fileName(row)}</span>
        {row.isForgotten && <span class="soft">forgotten</span>}
      </span>
    ),
  },
  { key: "kind", title: "Kind", width: 132, cell: (row) => kindWords(row.kind) },
  { key: "level", title: "Level", width: 92, isSortable: true, cell: (row) => row.level },
  {
    key: "size",
    title: "Size",
    width: 86,
    ...NUMBER,
    isNarrow: true,
    cell: (row) => bytes(row.sizeBytes),
  },
  {
    key: "replicas",
    title: "Replicas",
    width: 88,
    ...NUMBER,
    cell: (row) => count(row.replicas),
  },
  {
    key: "transfers",
    title: "Transfers",
    width: 96,
    ...NUMBER,
    cell: (row) => count(row.transfers),
  },
  { key: "moved", title: "Moved", width: 92, isNumber: true, cell: (row) => bytes(row.movedBytes) },
];
