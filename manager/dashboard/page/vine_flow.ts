/**
 * How far the vine has grown at an instant: what has arrived, what is on its way, and how many bytes
 * have gone from node to node by then.
 *
 * @module
 */

import type { Vine } from "../api.ts";

/** All transfers from one node to another. */
export interface Flow {
  readonly from: number;
  readonly to: number;
  /** Indexes of edges, by start. */
  readonly edges: readonly number[];
  /** It brought the first bytes: it is drawn as a stem, and others as tendrils between stems. */
  readonly isStem: boolean;
}

/** A vine with its transfers by pair of nodes. */
export interface FlowChart {
  readonly vine: Vine;
  /** Stems first, then others, the largest first. */
  readonly flows: readonly Flow[];
  /** Bytes of the largest, at the end. */
  readonly bytesMax: number;
}

/** How a flow stands at an instant. */
export interface FlowState {
  /** 0 before it begins, 1 when something arrived; a transfer without a size goes evenly. */
  readonly grown: number;
  readonly bytes: number;
  /** Transfers on their way. */
  readonly moving: number;
  readonly failed: number;
}

/** How a node stands at an instant. */
export type NodeState = "absent" | "waiting" | "receiving" | "holding" | "gone";

/** All of it at an instant. */
export interface VineMoment {
  readonly atMs: number;
  /** `[flow]` */
  readonly flows: readonly FlowState[];
  /** `[node]` */
  readonly nodes: readonly NodeState[];
  /** `[node]`: when it first had bytes; null before. */
  readonly arrivedAtMs: readonly (number | null)[];
  readonly holding: number;
  readonly moving: number;
  readonly failed: number;
  readonly bytes: number;
}

/** Sorts transfers by pair of nodes; `stems` are the edges of the tree. */
export function chartFlows(vine: Vine, stems: ReadonlySet<number>): FlowChart {
  const edgesByPair = new Map<number, number[]>();
  for (const [index, edge] of vine.edges.entries()) {
    const pair = edge.from * vine.nodes.length + edge.to;
    const same = edgesByPair.get(pair);
    same === undefined ? edgesByPair.set(pair, [index]) : same.push(index);
  }
  const flows = [...edgesByPair.values()].map((edges): Flow => {
    const first = vine.edges[edges[0] ?? -1];
    return {
      from: first?.from ?? 0,
      to: first?.to ?? 0,
      edges,
      isStem: edges.some((edge) => stems.has(edge)),
    };
  });
  const total = (flow: Flow): number =>
    flow.edges.reduce((sum, edge) => sum + (vine.edges[edge]?.bytes ?? 0), 0);
  const totals = new Map(flows.map((flow) => [flow, total(flow)]));
  flows.sort((a, b) =>
    Number(b.isStem) - Number(a.isStem) || (totals.get(b) ?? 0) - (totals.get(a) ?? 0)
  );
  return { vine, flows, bytesMax: Math.max(...totals.values(), 1) };
}

/** Tells how a vine stands at an instant. */
export function momentOf(chart: FlowChart, atMs: number): VineMoment {
  const { vine } = chart;
  const arrivedAtMs = new Array<number | null>(vine.nodes.length).fill(null);
  const isReceiving = new Uint8Array(vine.nodes.length);
  let moving = 0;
  let failed = 0;
  let bytes = 0;
  const flows = chart.flows.map((flow): FlowState => {
    const state = { grown: 0, bytes: 0, moving: 0, failed: 0 };
    for (const index of flow.edges) {
      const edge = vine.edges[index];
      if (edge === undefined || edge.startMs > atMs) {
        break;
      }
      const endMs = edge.endMs ?? Infinity;
      const isOver = endMs <= atMs;
      const share = isOver ? 1 : shareOf(edge, atMs, vine.toMs);
      state.bytes += edge.bytes * share;
      if (!isOver) {
        state.moving++;
        isReceiving[edge.to] = 1;
        state.grown = Math.max(state.grown, share);
      } else if (edge.isFailed) {
        state.failed++;
      } else {
        state.grown = 1;
        arrivedAtMs[edge.to] = Math.min(arrivedAtMs[edge.to] ?? Infinity, endMs);
      }
      // Who gives has it, though it was never seen to arrive.
      arrivedAtMs[edge.from] ??= edge.startMs;
    }
    moving += state.moving;
    failed += state.failed;
    bytes += state.bytes;
    return state;
  });
  const nodes = vine.nodes.map((node, index): NodeState =>
    node.joinedAtMs > atMs
      ? "absent"
      : node.leftAtMs !== null && node.leftAtMs <= atMs
      ? "gone"
      : arrivedAtMs[index] !== null
      ? "holding"
      : isReceiving[index] === 1
      ? "receiving"
      : "waiting"
  );
  const holding =
    nodes.filter((state, index) => state === "holding" && vine.nodes[index]?.kind === "worker")
      .length;
  return { atMs, flows, nodes, arrivedAtMs, holding, moving, failed, bytes };
}

/** When transfers begin or end: the steps of a replay, each once and in order. */
export function stepsOf(vine: Vine): readonly number[] {
  const instants = vine.edges.flatMap((edge) =>
    edge.endMs === null ? [edge.startMs] : [edge.startMs, edge.endMs]
  );
  return [...new Set([vine.fromMs, ...instants, vine.toMs])].sort((a, b) => a - b);
}

/** `[part of the time]`: bytes that arrived in it, as a share of the most of one part. */
export function activityOf(vine: Vine, partCount: number): readonly number[] {
  const parts = new Array<number>(partCount).fill(0);
  const spanMs = Math.max(vine.toMs - vine.fromMs, 1);
  const place = (atMs: number): number =>
    Math.min(Math.max(((atMs - vine.fromMs) / spanMs) * partCount, 0), partCount - 1e-9);
  for (const edge of vine.edges) {
    const from = place(edge.startMs);
    const to = Math.max(place(edge.endMs ?? vine.toMs), from);
    const first = Math.floor(from);
    const last = Math.floor(to);
    for (let part = first; part <= last; part++) {
      const covered = Math.min(part + 1, to) - Math.max(part, from);
      const share = last === first ? 1 : covered / (to - from);
      parts[part] = (parts[part] ?? 0) + edge.bytes * share;
    }
  }
  const most = Math.max(...parts, 1);
  return parts.map((part) => part / most);
}

/** How much of a transfer has passed; one that goes on yet has come to its bytes at the end. */
function shareOf(edge: Vine["edges"][number], atMs: number, endMs: number): number {
  const spanMs = (edge.endMs ?? Math.max(endMs, edge.startMs + 1) * 1) - edge.startMs;
  const share = spanMs <= 0 ? 1 : (atMs - edge.startMs) / spanMs;
  // What is not there yet has not arrived, however long it has taken.
  return Math.min(Math.max(share, 0), edge.endMs === null ? 0.92 : 1);
}
