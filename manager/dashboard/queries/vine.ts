/** How bytes spread: who sent what to whom when. */

import type { DatabaseSync } from "node:sqlite";

import { type Question, ROWS_MAX, type Vine } from "../api.ts";
import { fileRow } from "./files.ts";
import { runSpan } from "./run.ts";
import { all, first } from "./statement.ts";

type Node = Vine["nodes"][number];

interface Move {
  readonly fileId: number;
  readonly source: string;
  readonly sourceId: string | null;
  readonly target: string;
  readonly workerId: string;
  readonly state: string;
  readonly startMs: number;
  readonly endMs: number | null;
  readonly bytes: number;
  readonly url: string | null;
}

/** What workers make themselves by a recipe moves between no nodes. */
const MOVES = "FROM transfer WHERE source <> 'recipe'";

/** Answers `vine`. */
export function answerVine(
  db: DatabaseSync,
  { fileId, transfersMax }: Extract<Question, { readonly kind: "vine" }>,
): Vine {
  const { startedAtMs, atMs } = runSpan(db);
  const file = fileId === undefined ? null : fileRow(db, fileId);
  const ofFile = fileId === undefined ? [] : [file?.fileId ?? fileId];
  const chosen = fileId === undefined ? MOVES : `${MOVES} AND file_id = ?`;
  const total = first<{ count: number }>(db, `SELECT count(*) AS count ${chosen}`, ...ofFile);
  const moves = all<Move>(
    db,
    `SELECT moved.*, CASE WHEN 'url' IN (moved.source, target) THEN file.source END AS url FROM (
       SELECT transfer_id, file_id AS fileId, source, source_id AS sourceId, target,
         worker_id AS workerId, state, round(started_at_ms) AS startMs,
         round(ended_at_ms) AS endMs, moved_bytes AS bytes
       ${chosen} ORDER BY moved_bytes DESC, transfer_id LIMIT ?
     ) AS moved LEFT JOIN file ON file.file_id = moved.fileId ORDER BY startMs, transfer_id`,
    ...ofFile,
    transfersMax,
  );
  const nodes = newNodes(db, startedAtMs);
  const edges = moves.map((move) => ({
    from: indexOf(nodes, senderOf(move), startedAtMs),
    to: indexOf(nodes, receiverOf(move), startedAtMs),
    fileId: move.fileId,
    startMs: move.startMs,
    endMs: move.endMs,
    bytes: move.bytes,
    isFailed: move.state === "failed",
  }));
  const isCut = (total?.count ?? 0) > moves.length;
  return { file, fromMs: startedAtMs, toMs: atMs, nodes: nodes.list, edges, isCut };
}

function senderOf(move: Move): string {
  if (move.target !== "worker") return move.workerId;
  if (move.source === "manager") return "manager";
  return move.source === "url" ? urlNode(move.url) : move.sourceId ?? "manager";
}

function receiverOf(move: Move): string {
  if (move.target === "worker") return move.workerId;
  return move.target === "manager" ? "manager" : urlNode(move.url);
}

/** All urls of one host are one node; of `file:` urls, the shared file system. */
function urlNode(url: string | null): string {
  const parsed = url === null ? null : URL.parse(url);
  return `url:${parsed === null ? "" : parsed.host || parsed.protocol}`;
}

/** Nodes in the order in which they are told: the manager, workers by when they joined, urls. */
interface Nodes {
  readonly list: Node[];
  readonly indexes: Map<string, number>;
}

function newNodes(db: DatabaseSync, startedAtMs: number): Nodes {
  const nodes: Nodes = { list: [], indexes: new Map() };
  addNode(nodes, {
    id: "manager",
    kind: "manager",
    label: "manager",
    joinedAtMs: startedAtMs,
    leftAtMs: null,
  });
  const workers = all<Pick<Node, "id" | "label" | "joinedAtMs" | "leftAtMs">>(
    db,
    `SELECT worker_id AS id, host AS label, round(min(joined_at_ms)) AS joinedAtMs,
       CASE WHEN count(*) = count(left_at_ms) THEN round(max(left_at_ms)) END AS leftAtMs
     FROM worker GROUP BY worker_id ORDER BY joinedAtMs, worker_id LIMIT ?`,
    ROWS_MAX,
  );
  for (const worker of workers) addNode(nodes, { ...worker, kind: "worker" });
  return nodes;
}

/** Adds what is not known yet: a url's host, or a worker beyond those that are told anyway. */
function indexOf(nodes: Nodes, id: string, joinedAtMs: number): number {
  const known = nodes.indexes.get(id);
  if (known !== undefined) return known;
  const isUrl = id.startsWith("url:");
  return addNode(nodes, {
    id,
    kind: isUrl ? "url" : "worker",
    label: isUrl ? id.slice(4) || "url" : id,
    joinedAtMs,
    leftAtMs: null,
  });
}

function addNode(nodes: Nodes, node: Node): number {
  nodes.indexes.set(node.id, nodes.list.length);
  nodes.list.push(node);
  return nodes.list.length - 1;
}
