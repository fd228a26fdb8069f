/** The workflow's tasks and files, or where they are many, groups of them. */

import type { DatabaseSync } from "node:sqlite";

import { type Graph, type Question, ROWS_MAX } from "../api.ts";
import { graphOfApps, graphOfCalls } from "./call_graph.ts";
import { all, first, tuples } from "./statement.ts";

type Grouping = Extract<Question, { readonly kind: "graph" }>["grouping"];
type Node = Graph["nodes"][number];

/** Tasks and files together that are told one by one unless groups are asked for. */
const SMALL_MAX = 300;
/** Tasks, and as many files, of a graph that is asked for one by one. */
const NODES_MAX = ROWS_MAX;
/** Edges of such a graph. */
const EDGES_MAX = 10_000;
/** Categories that are nodes of their own; the others are left out. */
const GROUPS_MAX = 200;
const LABEL_CHARS_MAX = 80;

/** Answers `graph`. */
export function answerGraph(db: DatabaseSync, grouping: Grouping): Graph {
  switch (grouping === "auto" ? fittingGrouping(db) : grouping) {
    case "calls":
      return graphOfCalls(db);
    case "apps":
      return graphOfApps(db);
    case "tasks":
      return graphOfTasks(db);
    default:
      return graphOfGroups(db);
  }
}

/** Calls of apps are what the user wrote; where there are none, it is tasks. */
function fittingGrouping(db: DatabaseSync): Graph["grouping"] {
  const count = (sql: string): number => first<{ count: number }>(db, sql)?.count ?? 0;
  const calls = count("SELECT count(*) AS count FROM app_call");
  if (calls > 0) return calls <= SMALL_MAX ? "calls" : "apps";
  const isSmall = SMALL_MAX >=
    count("SELECT (SELECT count(*) FROM task_detail) + (SELECT count(*) FROM file) AS count");
  return isSmall ? "tasks" : "categories";
}

const SHOWN =
  `CASE WHEN state <> 'done' THEN CASE state WHEN 'pending' THEN 'pending' ELSE 'running' END
  WHEN outcome IN ('success', 'cancelled') THEN outcome ELSE 'failed' END`;

/** The first tasks, and the files that they read and make. */
function graphOfTasks(db: DatabaseSync): Graph {
  const tasks = all<{ taskId: number; label: string; shown: string }>(
    db,
    `SELECT task_id AS taskId, substr(name, 1, ${LABEL_CHARS_MAX}) AS label, ${SHOWN} AS shown
     FROM task_detail ORDER BY task_id LIMIT ?`,
    NODES_MAX + 1,
  );
  const lastTask = tasks[NODES_MAX - 1]?.taskId ?? Number.MAX_SAFE_INTEGER;
  const mounts = tuples<[taskId: number, role: string, fileId: number, count: number]>(
    db,
    `SELECT mount.task_id, CASE role WHEN 'output' THEN role ELSE 'input' END AS way,
       coalesce(merged_into, mount.file_id) AS file, count(*)
     FROM mount JOIN file ON file.file_id = mount.file_id WHERE mount.task_id <= ?
     GROUP BY mount.task_id, way, file ORDER BY mount.task_id, way, file LIMIT ?`,
    lastTask,
    EDGES_MAX + 1,
  );
  const files = all<{ fileId: number; label: string; sizeBytes: number | null }>(
    db,
    `SELECT file_id AS fileId, substr(coalesce(source, cache_name, kind), 1, ${LABEL_CHARS_MAX}) AS label,
       size_bytes AS sizeBytes
     FROM file WHERE merged_into IS NULL ORDER BY file_id LIMIT ?`,
    NODES_MAX + 1,
  );
  const nodes: Node[] = [
    ...tasks.slice(0, NODES_MAX).map(({ taskId, label, shown }) => ({
      id: `task:${taskId}`,
      kind: "task" as const,
      label,
      number: taskId,
      states: { [shown]: 1 },
      sizeBytes: null,
    })),
    ...files.slice(0, NODES_MAX).map(({ fileId, label, sizeBytes }) => ({
      id: `file:${fileId}`,
      kind: "file" as const,
      label,
      number: fileId,
      states: {},
      sizeBytes,
    })),
  ];
  const known = new Set(nodes.map(({ id }) => id));
  const edges = mounts.slice(0, EDGES_MAX).map(([taskId, role, fileId, count]) => {
    const [task, file] = [`task:${taskId}`, `file:${fileId}`];
    return role === "output" ? { from: task, to: file, count } : { from: file, to: task, count };
  }).filter(({ from, to }) => known.has(from) && known.has(to));
  const isCut = tasks.length > NODES_MAX || files.length > NODES_MAX || mounts.length > EDGES_MAX;
  return { grouping: "tasks", nodes, edges, isCut };
}

/** Categories, and between them what each makes and what comes from outside, by kind. */
function graphOfGroups(db: DatabaseSync): Graph {
  const categories = all<{ category: string; shown: string; count: number }>(
    db,
    `SELECT category, ${SHOWN} AS shown, count(*) AS count FROM task_detail
     GROUP BY category, shown ORDER BY min(task_id)`,
  );
  const states = new Map<string, { [state: string]: number }>();
  for (const { category, shown, count } of categories) {
    states.set(category, { ...states.get(category), [shown]: count });
  }
  const told = [...states.keys()].slice(0, GROUPS_MAX);
  const nodes: Node[] = told.map((category) => ({
    id: `category:${category}`,
    kind: "category",
    label: category,
    number: null,
    states: states.get(category) ?? {},
    sizeBytes: null,
  }));
  const { groups, edges } = fileGroups(db, new Set(told));
  return {
    grouping: "categories",
    nodes: [...nodes, ...groups],
    edges,
    isCut: states.size > told.length,
  };
}

interface FileGroup {
  readonly id: string;
  readonly label: string;
  /** The category that makes its files. */
  readonly maker: string | undefined;
  count: number;
  sizeBytes: number;
  /** `{category: how many of its inputs are of this group}` */
  readonly readers: Map<string, number>;
}

function fileGroups(
  db: DatabaseSync,
  told: ReadonlySet<string>,
): { readonly groups: readonly Node[]; readonly edges: Graph["edges"] } {
  const categoryOf = new Map<number, string>();
  for (
    const [taskId, category] of tuples<[number, string]>(
      db,
      "SELECT task_id, category FROM task_detail",
    )
  ) categoryOf.set(taskId, category);
  const groups = new Map<string, FileGroup>();
  const groupOf = new Map<number, FileGroup>();
  const files = tuples<[number, string, number | null, number | null, number | null]>(
    db,
    "SELECT file_id, kind, producer_task_id, size_bytes, merged_into FROM file ORDER BY file_id",
  );
  for (const [fileId, kind, producer, sizeBytes, mergedInto] of files) {
    const maker = producer === null ? undefined : categoryOf.get(producer);
    const group = groupFor(groups, kind, maker);
    groupOf.set(fileId, group);
    if (mergedInto !== null) continue;
    group.count++;
    group.sizeBytes += sizeBytes ?? 0;
  }
  const reads = tuples<[number, number]>(
    db,
    "SELECT task_id, file_id FROM mount WHERE role <> 'output'",
  );
  for (const [taskId, fileId] of reads) {
    const group = groupOf.get(fileId);
    const category = categoryOf.get(taskId);
    if (group === undefined || category === undefined) continue;
    group.readers.set(category, (group.readers.get(category) ?? 0) + 1);
  }
  return toldGroups(groups.values(), told);
}

function groupFor(
  groups: Map<string, FileGroup>,
  kind: string,
  maker: string | undefined,
): FileGroup {
  const id = maker === undefined ? `files:${kind}` : `files:${kind}:${maker}`;
  const known = groups.get(id);
  if (known !== undefined) return known;
  const label = maker === undefined ? `${kind} files` : `${kind} files of ${maker}`;
  const group = { id, label, maker, count: 0, sizeBytes: 0, readers: new Map<string, number>() };
  groups.set(id, group);
  return group;
}

function toldGroups(
  groups: Iterable<FileGroup>,
  told: ReadonlySet<string>,
): { readonly groups: readonly Node[]; readonly edges: Graph["edges"] } {
  const nodes: Node[] = [];
  const edges: { from: string; to: string; count: number }[] = [];
  for (const { id, label, maker, count, sizeBytes, readers } of groups) {
    if (maker !== undefined && !told.has(maker)) continue;
    nodes.push({
      id,
      kind: "file_group",
      label: `${count} ${label}`,
      number: null,
      states: {},
      sizeBytes,
    });
    if (maker !== undefined) edges.push({ from: `category:${maker}`, to: id, count });
    for (const [category, reads] of readers) {
      if (told.has(category)) edges.push({ from: id, to: `category:${category}`, count: reads });
    }
  }
  return { groups: nodes, edges };
}
