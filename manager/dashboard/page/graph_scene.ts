/**
 * The workflow's graph as boxes with words: what each says, how large it is, and what is beside it.
 *
 * @module
 */

import type { Graph } from "../api.ts";
import { bytes, count, plural, shorten } from "./format.ts";
import { type GraphLayout, layoutGraph, type PlacedBox } from "./graph_layout.ts";
import { hrefOf } from "./route.ts";
import type { Standing } from "./state.tsx";

/** A node of the graph, ready to be drawn. */
export interface GraphItem {
  readonly id: string;
  readonly kind: Graph["nodes"][number]["kind"];
  readonly title: string;
  /** States with their counts, or a size. */
  readonly note: string;
  /** `[standing, share of all]`, in the order of `STANDINGS`. */
  readonly shares: readonly (readonly [Standing, number])[];
  /** The standing that matters most to a person: failed before running before the rest. */
  readonly standing: Standing | undefined;
  readonly href: string;
  /** All of it in a sentence. */
  readonly sentence: string;
}

/** A graph, ready to be drawn. */
export interface GraphScene {
  readonly items: readonly GraphItem[];
  readonly layout: GraphLayout;
  readonly edges: Graph["edges"];
}

/** Standings of tasks in the order in which they are told. */
const STANDINGS: readonly Standing[] = [
  "failed",
  "running",
  "dispatched",
  "retrieving",
  "joining",
  "waiting",
  "cancelled",
  "memory",
  "success",
];

/** `{state or outcome, as answers tell it: standing}`; every other outcome has failed. */
const STANDING_BY_STATE: { readonly [state: string]: Standing } = {
  pending: "waiting",
  dispatched: "dispatched",
  running: "running",
  retrieving: "retrieving",
  joining: "joining",
  memo: "memory",
  success: "success",
  cancelled: "cancelled",
};

const WORDS: Readonly<Record<Standing, string>> = {
  failed: "failed",
  running: "running",
  dispatched: "staging",
  retrieving: "retrieving",
  joining: "joining",
  waiting: "waiting",
  cancelled: "cancelled",
  memory: "from memory",
  success: "done",
};

/** How a kind of node is told and drawn. */
interface KindLook {
  readonly word: string;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly titleLength: number;
}

function lookOf(kind: GraphItem["kind"]): KindLook {
  switch (kind) {
    case "task":
      return { word: "Task", widthPx: 168, heightPx: 48, titleLength: 22 };
    case "file":
      return { word: "File", widthPx: 150, heightPx: 38, titleLength: 18 };
    case "call":
      return { word: "Call", widthPx: 168, heightPx: 48, titleLength: 22 };
    case "app":
      return { word: "App", widthPx: 236, heightPx: 56, titleLength: 30 };
    case "category":
      return { word: "Category", widthPx: 236, heightPx: 56, titleLength: 30 };
    case "file_group":
      return { word: "Files", widthPx: 196, heightPx: 40, titleLength: 27 };
  }
}

/** Prepares a graph to be drawn. */
export function sceneOfGraph(graph: Graph): GraphScene {
  const items = graph.nodes.map(itemOf);
  const layout = layoutGraph(
    items.map((item) => {
      const { widthPx, heightPx } = lookOf(item.kind);
      return { id: item.id, widthPx, heightPx };
    }),
    graph.edges,
  );
  return { items, layout, edges: graph.edges };
}

/** How many tasks stand how, of one node or of all. */
export function standingCounts(
  nodes: readonly Pick<Graph["nodes"][number], "states">[],
): readonly (readonly [Standing, number])[] {
  const counts = new Map<Standing, number>();
  for (const { states } of nodes) {
    for (const [state, number] of Object.entries(states)) {
      const standing = STANDING_BY_STATE[state] ?? "failed";
      counts.set(standing, (counts.get(standing) ?? 0) + number);
    }
  }
  return STANDINGS.flatMap((standing) => {
    const number = counts.get(standing) ?? 0;
    return number > 0 ? [[standing, number] as const] : [];
  });
}

/** The box that an arrow key leads to: the nearest in that direction, straight ones first. */
export function boxBeside(
  boxes: readonly PlacedBox[],
  from: PlacedBox,
  key: string,
): PlacedBox | undefined {
  const [x, y] = DIRECTIONS[key] ?? [0, 0];
  let nearest: PlacedBox | undefined;
  let nearestPx = Infinity;
  for (const box of boxes) {
    const ahead = (box.x - from.x) * x + (box.y - from.y) * y;
    const aside = Math.abs((box.x - from.x) * y) + Math.abs((box.y - from.y) * x);
    const distancePx = ahead + 2 * aside;
    if (ahead > 1 && distancePx < nearestPx) {
      nearest = box;
      nearestPx = distancePx;
    }
  }
  return nearest;
}

const DIRECTIONS: { readonly [key: string]: readonly [number, number] } = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

function itemOf(node: Graph["nodes"][number]): GraphItem {
  const counts = standingCounts([node]);
  const total = counts.reduce((sum, [, number]) => sum + number, 0);
  const words = counts.map(([standing, number]) => `${count(number)} ${WORDS[standing]}`);
  const size = node.sizeBytes === null ? "" : bytes(node.sizeBytes);
  const isOne = node.kind === "task" || node.kind === "call";
  const isGroup = node.kind === "category" || node.kind === "app";
  const member = node.kind === "app" ? "call" : "task";
  const note = isOne
    ? "dep_fail" in node.states ? "not run" : counts.map(([standing]) => WORDS[standing]).join(", ")
    : isGroup
    ? words.slice(0, 3).join(" · ")
    : size;
  const name = node.number === null ? node.label : `${node.number} ${node.label}`.trim();
  return {
    id: node.id,
    kind: node.kind,
    title: shorten(name, lookOf(node.kind).titleLength),
    note,
    shares: counts.map(([standing, number]) => [standing, number / total] as const),
    standing: counts[0]?.[0],
    href: hrefOfNode(node),
    sentence: `${lookOf(node.kind).word} ${name}: ${
      isOne || isGroup
        ? `${isGroup ? `${plural(total, member)}, ` : ""}${words.join(", ")}`
        : size || "size not known"
    }`,
  };
}

function hrefOfNode(node: Graph["nodes"][number]): string {
  switch (node.kind) {
    case "task":
      return hrefOf("tasks", node.number ?? 0);
    case "call":
      return hrefOf("calls", node.number ?? 0);
    case "app":
      return hrefOf("calls", undefined, new URLSearchParams({ app: node.label }));
    case "category":
      return hrefOf("tasks", undefined, new URLSearchParams({ category: node.label }));
    case "file":
      return hrefOf("data", node.number ?? 0);
    case "file_group":
      return hrefOf("data");
  }
}
