/**
 * The vine as a plant: who had the bytes first from whom makes a tree, and the tree is drawn as a fan
 * that grows upward from its root, each generation further out. Crowded generations are spread over
 * several rings, so that five hundred workers have room.
 *
 * @module
 */

import type { Vine } from "../api.ts";

/** What the layout needs to know of a vine. */
export interface VineShape {
  readonly nodes: readonly Pick<Vine["nodes"][number], "id" | "kind">[];
  readonly edges: readonly Pick<
    Vine["edges"][number],
    "from" | "to" | "startMs" | "endMs" | "isFailed" | "bytes"
  >[];
  /** Of one file, whose way is told; null of all, where the broadest ways are. */
  readonly file: Vine["file"];
}

/** Where a node hangs in the tree. */
export interface VineLimb {
  /** Index of the node that it had the file from, or most bytes; -1 of the root. */
  readonly parent: number;
  /** Index of the edge that brought it; -1 of the root and of what stands by itself. */
  readonly edge: number;
  /** Steps from the root. */
  readonly depth: number;
}

/** A node's place, in pixels. */
export interface VinePlace {
  readonly x: number;
  readonly y: number;
  /** Where it points to, clockwise from up, in radians. */
  readonly angle: number;
}

/** The tree of a vine, and the rings that it needs. */
export interface VineTree {
  /** -1 when there are no nodes. */
  readonly root: number;
  readonly limbs: readonly VineLimb[];
  /** `[node]`: those that hang on it, the heaviest in the middle. */
  readonly children: readonly (readonly number[])[];
}

/** Room for a vine. */
export interface VineBox {
  readonly widthPx: number;
  readonly heightPx: number;
  /** Kept free above and below. */
  readonly marginPx: number;
  /** Kept free at both sides. */
  readonly sidePx: number;
}

/** An ellipse around the root in which the fan opens, in pixels. */
export interface VineFan {
  readonly x: number;
  readonly y: number;
  readonly radiusX: number;
  readonly radiusY: number;
}

/** All of the vine in its places. */
export interface VineLayout {
  readonly tree: VineTree;
  readonly places: readonly VinePlace[];
  readonly fan: VineFan;
  /** Half the length of a leaf that has room beside its neighbours. */
  readonly leafPx: number;
}

/** How far the fan opens to each side of up, in radians. */
const FAN_HALF_ANGLE = (97 / 180) * Math.PI;

/** Leaves of one ring are as far apart, where there is room. */
const LEAF_GAP_PX = 17;

/** One generation is spread over no more rings than these. */
const RINGS_MAX = 9;

/** Lays out a vine in a box, with the root below its middle. */
export function layoutVine(
  vine: VineShape,
  box: VineBox,
): VineLayout {
  const tree = growTree(vine);
  const angles = fanAngles(tree);
  const radiusX = Math.max(box.widthPx / 2 - box.sidePx, 1);
  const rootY = box.heightPx - box.marginPx - 0.1 * box.heightPx;
  const radiusY = Math.max(rootY - box.marginPx, 1);
  const { radii, leafPx } = ringRadii(tree, angles, { radiusX, radiusY });
  const fan = { x: box.widthPx / 2, y: rootY, radiusX, radiusY };
  const points = tree.limbs.map((_, node): Point =>
    fanPoint(fan, angles[node] ?? 0, radii[node] ?? 0)
  );
  pushApart(points, { gapPx: 1.5 * leafPx, root: tree.root, box });
  const places = points.map((point, node): VinePlace => ({
    ...point,
    angle: node === tree.root ? 0 : angles[node] ?? 0,
  }));
  return { tree, places, fan, leafPx };
}

/** The curve of a stem, as four points: it leaves along its parent's way and comes in along its own. */
export function stemCurve(fan: VineFan, from: VinePlace, to: VinePlace): readonly Point[] {
  const [angle, radius] = fanAngle(fan, from);
  const [toAngle, toRadius] = fanAngle(fan, to);
  const isRoot = radius < 0.02;
  const bend = radius + (toRadius - radius) * (isRoot ? 0.3 : 0.5);
  return [from, fanPoint(fan, isRoot ? 0 : angle, bend), fanPoint(fan, toAngle, bend), to];
}

function fanPoint(fan: VineFan, angle: number, radius: number): Point {
  return {
    x: fan.x + Math.sin(angle) * radius * fan.radiusX,
    y: fan.y - Math.cos(angle) * radius * fan.radiusY,
  };
}

function fanAngle(fan: VineFan, at: Point): readonly [angle: number, radius: number] {
  const x = (at.x - fan.x) / fan.radiusX;
  const y = (fan.y - at.y) / fan.radiusY;
  return [Math.atan2(x, y), Math.hypot(x, y)];
}

/**
 * Of one file, hangs each node on the one from which it first had it; of all, on the one from which
 * it had most bytes. Nodes that give before they were given anything (a worker that made the file
 * itself, a server of the web) stand by themselves beside the root. So there is no cycle, whatever
 * the records say.
 */
export function growTree(vine: VineShape): VineTree {
  const root = findRoot(vine);
  if (root < 0) {
    return { root, limbs: [], children: [] };
  }
  const limbs = new Array<VineLimb | undefined>(vine.nodes.length).fill(undefined);
  limbs[root] = { parent: -1, edge: -1, depth: 0 };
  vine.file === null ? growBroadest(vine, limbs, root) : growEarliest(vine, limbs, root);
  const all = limbs.map((limb) => limb ?? { parent: root, edge: -1, depth: 1 });
  return { root, limbs: all, children: childrenOf(all) };
}

function growEarliest(vine: VineShape, limbs: (VineLimb | undefined)[], root: number): void {
  for (const index of edgesByArrival(vine)) {
    const edge = vine.edges[index];
    if (edge === undefined || edge.to >= limbs.length || edge.from >= limbs.length) {
      continue;
    }
    limbs[edge.from] ??= { parent: root, edge: -1, depth: 1 };
    const source = limbs[edge.from];
    limbs[edge.to] ??= { parent: edge.from, edge: index, depth: (source?.depth ?? 0) + 1 };
  }
}

/** Takes again and again the broadest flow from what is in the tree to what is not, as Prim does. */
function growBroadest(vine: VineShape, limbs: (VineLimb | undefined)[], root: number): void {
  for (const [node, { kind }] of vine.nodes.entries()) {
    if (kind === "url" && node !== root) {
      limbs[node] = { parent: root, edge: -1, depth: 1 };
    }
  }
  const flows = flowsByBytes(vine);
  const waiting = new Set(flows.keys());
  for (let found = true; found;) {
    found = false;
    for (const place of waiting) {
      const { from, to, edge } = flows[place] ?? { from: 0, to: 0, edge: -1 };
      const source = limbs[from];
      if (limbs[to] !== undefined) {
        waiting.delete(place);
      } else if (source !== undefined) {
        limbs[to] = { parent: from, edge, depth: source.depth + 1 };
        waiting.delete(place);
        found = true;
        break;
      }
    }
  }
}

/** Flows from node to node, the broadest first, each with its first edge. */
function flowsByBytes(
  vine: VineShape,
): readonly { readonly from: number; readonly to: number; readonly edge: number }[] {
  const count = vine.nodes.length;
  const flows = new Map<number, { from: number; to: number; edge: number; bytes: number }>();
  for (const [edge, { from, to, bytes, isFailed }] of vine.edges.entries()) {
    if (from < count && to < count && !isFailed) {
      const flow = flows.get(from * count + to);
      flow === undefined
        ? flows.set(from * count + to, { from, to, edge, bytes })
        : flow.bytes += bytes;
    }
  }
  return [...flows.values()].sort((a, b) => b.bytes - a.bytes || a.edge - b.edge);
}

/** The manager where it gave or took anything, else who gave first. */
function findRoot(vine: VineShape): number {
  const manager = vine.nodes.findIndex((node) => node.kind === "manager");
  const isManagerPart = vine.edges.some((edge) => edge.from === manager || edge.to === manager);
  if (manager >= 0 && (isManagerPart || vine.edges.length === 0)) {
    return manager;
  }
  return vine.edges[0]?.from ?? (vine.nodes.length > 0 ? 0 : -1);
}

/** What arrived by when it did, then what is on its way, then what failed. */
function edgesByArrival(vine: VineShape): readonly number[] {
  const rank = (index: number): number => {
    const edge = vine.edges[index];
    return edge === undefined || edge.isFailed ? 2 : edge.endMs === null ? 1 : 0;
  };
  const instant = (index: number): number => {
    const edge = vine.edges[index];
    return edge === undefined ? 0 : edge.endMs ?? edge.startMs;
  };
  return [...vine.edges.keys()].sort((a, b) =>
    rank(a) - rank(b) || instant(a) - instant(b) || a - b
  );
}

function childrenOf(limbs: readonly VineLimb[]): readonly (readonly number[])[] {
  const children = limbs.map((): number[] => []);
  for (const [node, limb] of limbs.entries()) {
    children[limb.parent]?.push(node);
  }
  const weights = leafCounts(limbs);
  return children.map((nodes) => heaviestInTheMiddle(nodes, weights));
}

/** `[node]`: how many leaves hang on it; a leaf counts itself. */
function leafCounts(limbs: readonly VineLimb[]): Float64Array {
  const weights = new Float64Array(limbs.length);
  const deepestFirst = [...limbs.keys()].sort((a, b) =>
    (limbs[b]?.depth ?? 0) - (limbs[a]?.depth ?? 0)
  );
  for (const node of deepestFirst) {
    weights[node] = Math.max(weights[node] ?? 0, 1);
    const parent = limbs[node]?.parent ?? -1;
    if (parent >= 0) {
      weights[parent] = (weights[parent] ?? 0) + (weights[node] ?? 0);
    }
  }
  return weights;
}

function heaviestInTheMiddle(nodes: readonly number[], weights: Float64Array): readonly number[] {
  const heaviestFirst = [...nodes].sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b);
  const left: number[] = [];
  const right: number[] = [];
  for (const [index, node] of heaviestFirst.entries()) {
    index % 2 === 0 ? right.push(node) : left.push(node);
  }
  return [...left.reverse(), ...right];
}

/** `[node]`: its angle, in the middle of the part of the fan that its leaves take. */
function fanAngles(tree: VineTree): Float64Array {
  const angles = new Float64Array(tree.limbs.length);
  if (tree.root < 0) {
    return angles;
  }
  const weights = leafCounts(tree.limbs);
  const half = FAN_HALF_ANGLE * Math.min(1, 0.35 + (weights[tree.root] ?? 1) / 12);
  const waiting = [{ node: tree.root, from: -half, to: half }];
  for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
    angles[part.node] = (part.from + part.to) / 2;
    const children = tree.children[part.node] ?? [];
    const total = children.reduce((sum, child) => sum + (weights[child] ?? 1), 0);
    let from = part.from;
    for (const node of children) {
      const to = from + ((part.to - part.from) * (weights[node] ?? 1)) / total;
      waiting.push({ node, from, to });
      from = to;
    }
  }
  return angles;
}

/** `[node]`: its distance from the root, as a share of the box: crowded generations take more. */
function ringRadii(
  tree: VineTree,
  angles: Float64Array,
  box: { readonly radiusX: number; readonly radiusY: number },
): { readonly radii: Float64Array; readonly leafPx: number } {
  const radii = new Float64Array(tree.limbs.length);
  const generations = generationsOf(tree, angles);
  const depthMax = Math.max(generations.length - 1, 1);
  const meanPx = Math.sqrt((box.radiusX ** 2 + box.radiusY ** 2) / 2);
  const ringCounts = generations.map((nodes, depth) => {
    const arcPx = 2 * FAN_HALF_ANGLE * meanPx * Math.max((depth - 0.35) / depthMax, 0.1);
    return Math.min(Math.max(Math.ceil((nodes.length * LEAF_GAP_PX) / arcPx), 1), RINGS_MAX);
  });
  const thickness = ringCounts.map((count, depth) => depth === 0 ? 0 : 1 + 0.45 * (count - 1));
  const total = thickness.reduce((sum, part) => sum + part, 0) || 1;
  let inner = 0;
  let ringPx = Infinity;
  for (const [depth, nodes] of generations.entries()) {
    const count = ringCounts[depth] ?? 1;
    const band = (thickness[depth] ?? 0) / total;
    // The nearest ring of a generation keeps away from the one before it.
    const nearest = count === 1 ? 1 : 0.45;
    const step = coprimeStep(count);
    for (const [index, node] of nodes.entries()) {
      const ring = (index * step) % count;
      const share = count === 1 ? 1 : nearest + ((1 - nearest) * ring) / (count - 1);
      radii[node] = depth === 0 ? 0 : inner + band * share;
    }
    if (count > 1) {
      ringPx = Math.min(ringPx, (band * (1 - nearest) * meanPx) / (count - 1));
    }
    inner += band;
  }
  const leafPx = clamp(0.6 * Math.min(ringPx, meanPx / depthMax / 3), 3, 11);
  return { radii, leafPx };
}

/** Nodes by depth, each generation from left to right. */
function generationsOf(tree: VineTree, angles: Float64Array): readonly (readonly number[])[] {
  const generations: number[][] = [];
  for (const [node, limb] of tree.limbs.entries()) {
    (generations[limb.depth] ??= []).push(node);
  }
  for (const nodes of generations) {
    nodes.sort((a, b) => (angles[a] ?? 0) - (angles[b] ?? 0) || a - b);
  }
  return generations;
}

/** A place, which is still moved while things are pushed apart. */
interface Point {
  x: number;
  y: number;
}

/** Times that leaves which touch are pushed apart. */
const PUSHES = 24;

/** Pushes apart what is too close, each by half of what is missing; the root stays. */
function pushApart(
  points: readonly Point[],
  { gapPx, root, box }: {
    readonly gapPx: number;
    readonly root: number;
    readonly box: {
      readonly widthPx: number;
      readonly heightPx: number;
      readonly marginPx: number;
    };
  },
): void {
  const edge = box.marginPx / 2;
  for (let push = 0; push < PUSHES; push++) {
    let isMoved = false;
    for (const [a, b] of closePairs(points, gapPx)) {
      const left = points[a];
      const right = points[b];
      if (left === undefined || right === undefined) {
        continue;
      }
      // Two at the very same place go apart side by side.
      const x = right.x - left.x || 1e-3;
      const y = right.y - left.y;
      const distance = Math.hypot(x, y);
      const missing = gapPx - distance;
      if (missing <= 0.01) {
        continue;
      }
      isMoved = true;
      const share = a === root || b === root ? missing : missing / 2;
      for (const [node, point, sign] of [[a, left, -1], [b, right, 1]] as const) {
        if (node !== root) {
          point.x = clamp(point.x + (sign * share * x) / distance, edge, box.widthPx - edge);
          point.y = clamp(point.y + (sign * share * y) / distance, edge, box.heightPx - edge);
        }
      }
    }
    if (!isMoved) {
      return;
    }
  }
}

/** Pairs that may be closer than `gapPx`, found by squares of that size. */
function closePairs(
  points: readonly Point[],
  gapPx: number,
): readonly (readonly [number, number])[] {
  const squares = new Map<string, number[]>();
  const pairs: (readonly [number, number])[] = [];
  for (const [node, point] of points.entries()) {
    const column = Math.floor(point.x / gapPx);
    const row = Math.floor(point.y / gapPx);
    for (let square = 0; square < 9; square++) {
      const key = `${column - 1 + (square % 3)} ${row - 1 + Math.floor(square / 3)}`;
      for (const other of squares.get(key) ?? []) {
        pairs.push([other, node]);
      }
    }
    const key = `${column} ${row}`;
    const inSquare = squares.get(key);
    inSquare === undefined ? squares.set(key, [node]) : inSquare.push(node);
  }
  return pairs;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

/** A step that passes all rings and puts neighbours far apart: near the golden section. */
function coprimeStep(count: number): number {
  for (let step = Math.max(Math.round(count * 0.382), 1); step < count; step++) {
    if (greatestDivisor(step, count) === 1) {
      return step;
    }
  }
  return 1;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
