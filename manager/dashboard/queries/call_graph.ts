/** Calls of apps and what each waited for or joined, or where they are many, the apps. */

import type { DatabaseSync } from "node:sqlite";

import type { AppState } from "../../core/fact.ts";
import { type Graph, ROWS_MAX } from "../api.ts";
import { answerApps, idsOf } from "./calls.ts";
import { tuples } from "./statement.ts";

type Node = Graph["nodes"][number];
type Edge = Graph["edges"][number];

/** Edges that are told. */
const EDGES_MAX = 10_000;
/** Apps that are nodes of their own; the others are left out. */
const APPS_MAX = 200;
const LABEL_CHARS_MAX = 80;

/** `{state: what the drawing calls it}` */
const SHOWN: { readonly [State in AppState]: string } = {
  pending: "pending",
  launched: "dispatched",
  running: "running",
  joining: "joining",
  ["fail_retryable"]: "pending",
  ["exec_done"]: "success",
  ["memo_done"]: "memo",
  failed: "failed",
  ["dep_fail"]: "dep_fail",
  cancelled: "cancelled",
};

/** The first calls. */
export function graphOfCalls(db: DatabaseSync): Graph {
  const calls = tuples<
    [callId: number, app: string, state: AppState, depends: string | null, joins: string | null]
  >(
    db,
    `SELECT call_id, substr(coalesce(label, app), 1, ${LABEL_CHARS_MAX}), state, depends, joins
     FROM app_call ORDER BY call_id LIMIT ?`,
    ROWS_MAX + 1,
  );
  const told = calls.slice(0, ROWS_MAX);
  const nodes = told.map(([callId, app, state]): Node => ({
    id: `call:${callId}`,
    kind: "call",
    label: app,
    number: callId,
    states: { [SHOWN[state]]: 1 },
    sizeBytes: null,
  }));
  const known = new Set(told.map(([callId]) => callId));
  const edges: Edge[] = [];
  let isCut = calls.length > told.length;
  for (const [callId, , , depends, joins] of told) {
    const joined = new Set(idsOf(joins));
    for (const from of new Set([...idsOf(depends), ...joined])) {
      if (!known.has(from)) continue;
      if (edges.length === EDGES_MAX) isCut = true;
      else edges.push(edgeOf(`call:${from}`, `call:${callId}`, 1, joined.has(from)));
    }
  }
  return { grouping: "calls", nodes, edges, isCut };
}

/** Apps, and how many calls of each waited for, or joined, calls of which. */
export function graphOfApps(db: DatabaseSync): Graph {
  const apps = answerApps(db);
  const told = apps.slice(0, APPS_MAX);
  const nodes = told.map(({ app, states }): Node => {
    const shown: { [state: string]: number } = {};
    for (const [state, count] of Object.entries(states)) {
      const name = SHOWN[state as AppState];
      shown[name] = (shown[name] ?? 0) + count;
    }
    return {
      id: `app:${app}`,
      kind: "app",
      label: app,
      number: null,
      states: shown,
      sizeBytes: null,
    };
  });
  return { grouping: "apps", nodes, edges: appEdges(db, told), isCut: apps.length > told.length };
}

function appEdges(db: DatabaseSync, told: readonly { readonly app: string }[]): readonly Edge[] {
  const known = new Set(told.map(({ app }) => app));
  const appOf = new Map<number, string>();
  const edges = new Map<string, { from: string; to: string; count: number; isJoin: boolean }>();
  const count = (from: string | undefined, to: string, isJoin: boolean): void => {
    if (from === undefined || !known.has(from) || !known.has(to)) return;
    const key = JSON.stringify([from, to, isJoin]);
    const edge = edges.get(key);
    if (edge === undefined) edges.set(key, { from, to, count: 1, isJoin });
    else edge.count += 1;
  };
  const rows = tuples<[callId: number, app: string]>(db, "SELECT call_id, app FROM app_call");
  for (const [callId, app] of rows) appOf.set(callId, app);
  const lists = tuples<[app: string, depends: string | null, joins: string | null]>(
    db,
    "SELECT app, depends, joins FROM app_call WHERE depends IS NOT NULL OR joins IS NOT NULL",
  );
  for (const [app, depends, joins] of lists) {
    const joined = new Set(idsOf(joins));
    for (const id of idsOf(depends)) if (!joined.has(id)) count(appOf.get(id), app, false);
    for (const id of joined) count(appOf.get(id), app, true);
  }
  return [...edges.values()].slice(0, EDGES_MAX).map((edge) =>
    edgeOf(`app:${edge.from}`, `app:${edge.to}`, edge.count, edge.isJoin)
  );
}

function edgeOf(from: string, to: string, count: number, isJoin: boolean): Edge {
  return { from, to, count, ...(isJoin ? { isJoin } : {}) };
}
