/**
 * A layered drawing of a directed graph, from left to right: layers by the longest path, order in
 * them by barycenters with the fewest crossings met, places that keep edges short. The method is
 * that of Sugiyama, Tagawa and Toda (1981); places within a layer are the closest ones to where
 * neighbours are that do not overlap, found by pooling adjacent violators.
 *
 * @module
 */

/** A box to be placed. */
export interface GraphBox {
  readonly id: string;
  readonly widthPx: number;
  readonly heightPx: number;
}

/** A box in its place: the middle of it. */
export interface PlacedBox extends GraphBox {
  readonly x: number;
  readonly y: number;
  readonly layer: number;
}

/** A point of an edge. */
export interface GraphPoint {
  readonly x: number;
  readonly y: number;
}

/** An edge with the points that it passes, from the one box to the other. */
export interface PlacedEdge {
  /** Index among the edges that were given. */
  readonly index: number;
  readonly points: readonly GraphPoint[];
  /** It goes backward: it is one of those that close a cycle. */
  readonly isBackward: boolean;
}

/** The whole drawing, from 0, 0. */
export interface GraphLayout {
  readonly boxes: readonly PlacedBox[];
  readonly edges: readonly PlacedEdge[];
  readonly widthPx: number;
  readonly heightPx: number;
}

/** A layer with more boxes is drawn as several columns. */
const COLUMN_BOXES_MAX = 26;

/** Bends of long edges at most; beyond them long edges go straight. */
const BENDS_MAX = 6_000;

/** Times that the order is improved, forth and back. */
const SWEEPS = 10;

const LAYER_GAP_PX = 70;
const COLUMN_GAP_PX = 30;
const BOX_GAP_PX = 14;
const BEND_GAP_PX = 6;

/** A graph with numbers for ids: boxes first, then the bends of long edges. */
interface Layered {
  readonly layerOf: number[];
  /** `[layer]`: nodes from top to bottom. */
  readonly layers: number[][];
  readonly before: number[][];
  readonly after: number[][];
  /** `[edge]`: nodes that it passes, in the direction of the layers. */
  readonly chains: (readonly number[])[];
}

/** An edge by indexes of boxes. */
interface Link {
  readonly index: number;
  readonly from: number;
  readonly to: number;
  readonly isBackward: boolean;
}

/** Lays out a graph. Edges of a box with itself, or to what is not there, are left out. */
export function layoutGraph(
  boxes: readonly GraphBox[],
  edges: readonly { readonly from: string; readonly to: string }[],
): GraphLayout {
  const links = breakCycles(boxes.length, linksOf(boxes, edges));
  const layered = addBends(boxes.length, links, longestPathLayers(boxes.length, links));
  orderLayers(layered);
  const places = placeNodes(boxes, layered);
  return drawing(boxes, links, layered, places);
}

function linksOf(
  boxes: readonly GraphBox[],
  edges: readonly { readonly from: string; readonly to: string }[],
): readonly Link[] {
  const indexes = new Map(boxes.map((box, index) => [box.id, index]));
  return edges.flatMap((edge, index): readonly Link[] => {
    const from = indexes.get(edge.from);
    const to = indexes.get(edge.to);
    return from === undefined || to === undefined || from === to
      ? []
      : [{ index, from, to, isBackward: false }];
  });
}

/** Turns around the edges that lead back to where a walk in depth came from. */
function breakCycles(count: number, links: readonly Link[]): readonly Link[] {
  const outgoing = Array.from({ length: count }, (): number[] => []);
  for (const [place, link] of links.entries()) {
    outgoing[link.from]?.push(place);
  }
  const state = new Uint8Array(count);
  const backward = new Set<number>();
  for (let start = 0; start < count; start++) {
    const path = state[start] === 0 ? [{ node: start, next: 0 }] : [];
    state[start] = state[start] === 0 ? 1 : state[start] ?? 0;
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const place = outgoing[step.node]?.[step.next++];
      const target = place === undefined ? undefined : links[place]?.to;
      if (place === undefined || target === undefined) {
        state[step.node] = 2;
        path.pop();
      } else if (state[target] === 1) {
        backward.add(place);
      } else if (state[target] === 0) {
        state[target] = 1;
        path.push({ node: target, next: 0 });
      }
    }
  }
  return links.map((link, place) =>
    backward.has(place) ? { ...link, from: link.to, to: link.from, isBackward: true } : link
  );
}

/** `[box]`: its layer. What nothing leads to stands right before what it leads to. */
function longestPathLayers(count: number, links: readonly Link[]): number[] {
  const missing = new Uint32Array(count);
  const outgoing = Array.from({ length: count }, (): number[] => []);
  for (const link of links) {
    missing[link.to] = (missing[link.to] ?? 0) + 1;
    outgoing[link.from]?.push(link.to);
  }
  const isSource = Array.from(missing, (before) => before === 0);
  const layerOf = new Array<number>(count).fill(0);
  const ready = [...isSource.keys()].filter((box) => isSource[box]);
  for (let box = ready.pop(); box !== undefined; box = ready.pop()) {
    for (const target of outgoing[box] ?? []) {
      layerOf[target] = Math.max(layerOf[target] ?? 0, (layerOf[box] ?? 0) + 1);
      const left = (missing[target] ?? 0) - 1;
      missing[target] = left;
      if (left === 0) {
        ready.push(target);
      }
    }
  }
  for (const [box, targets] of outgoing.entries()) {
    if (isSource[box] && targets.length > 0) {
      layerOf[box] = Math.min(...targets.map((target) => layerOf[target] ?? 0)) - 1;
    }
  }
  return layerOf;
}

/** Gives each edge that passes layers a bend in each, so that they are ordered among the boxes. */
function addBends(count: number, links: readonly Link[], boxLayers: number[]): Layered {
  const layerOf = [...boxLayers];
  const before = boxLayers.map((): number[] => []);
  const after = boxLayers.map((): number[] => []);
  const chains: (readonly number[])[] = [];
  for (const link of links) {
    const first = layerOf[link.from] ?? 0;
    const last = layerOf[link.to] ?? 0;
    const chain = [link.from];
    const isBent = layerOf.length - count + last - first <= BENDS_MAX;
    for (let layer = first + 1; isBent && layer < last; layer++) {
      chain.push(layerOf.length);
      layerOf.push(layer);
      before.push([]);
      after.push([]);
    }
    chain.push(link.to);
    for (let step = 1; step < chain.length; step++) {
      const from = chain[step - 1] ?? 0;
      const to = chain[step] ?? 0;
      after[from]?.push(to);
      before[to]?.push(from);
    }
    chains.push(chain);
  }
  return { layerOf, layers: layersInWalkingOrder(layerOf, before, after), before, after, chains };
}

/** A first order: nodes as a walk in depth meets them, so that what belongs together is together. */
function layersInWalkingOrder(
  layerOf: readonly number[],
  before: readonly number[][],
  after: readonly number[][],
): number[][] {
  const layerCount = layerOf.reduce((most, layer) => Math.max(most, layer + 1), 0);
  const layers = Array.from({ length: layerCount }, (): number[] => []);
  const isMet = new Uint8Array(layerOf.length);
  const starts = [...layerOf.keys()].sort((a, b) =>
    (before[a]?.length ?? 0) - (before[b]?.length ?? 0) || a - b
  );
  for (const start of starts) {
    const waiting = [start];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (isMet[node] === 0) {
        isMet[node] = 1;
        layers[layerOf[node] ?? 0]?.push(node);
        waiting.push(...[...(after[node] ?? [])].reverse());
      }
    }
  }
  return layers;
}

/** Sorts layers by the mean place of neighbours, forth and back, and keeps the best order met. */
function orderLayers(layered: Layered): void {
  const { layers, before, after } = layered;
  const place = new Float64Array(layered.layerOf.length);
  const note = (layer: readonly number[]): void =>
    layer.forEach((node, index) => place[node] = index);
  layers.forEach(note);
  let best = layers.map((layer) => [...layer]);
  let fewest = crossingCount(layered, place);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep++) {
    const isForth = sweep % 2 === 0;
    const neighbours = isForth ? before : after;
    for (const layer of isForth ? layers : [...layers].reverse()) {
      const wanted = new Map(layer.map((node) => [node, meanOf(neighbours[node], place)]));
      layer.sort((a, b) =>
        (wanted.get(a) ?? place[a] ?? 0) - (wanted.get(b) ?? place[b] ?? 0) ||
        (place[a] ?? 0) - (place[b] ?? 0)
      );
      note(layer);
    }
    const crossings = crossingCount(layered, place);
    if (crossings < fewest) {
      fewest = crossings;
      best = layers.map((layer) => [...layer]);
    }
  }
  layers.splice(0, layers.length, ...best);
}

/** Crossings of edges between layers beside one another: inversions, counted with a Fenwick tree. */
function crossingCount(layered: Layered, place: Float64Array): number {
  let crossings = 0;
  for (const [index, layer] of layered.layers.entries()) {
    const size = layered.layers[index + 1]?.length ?? 0;
    const sums = new Uint32Array(size + 1);
    let seen = 0;
    for (const node of layer) {
      const targets = (layered.after[node] ?? []).map((target) => place[target] ?? 0);
      for (const target of targets) {
        let notAbove = 0;
        for (let at = target + 1; at > 0; at -= at & -at) {
          notAbove += sums[at] ?? 0;
        }
        crossings += seen - notAbove;
      }
      for (const target of targets) {
        for (let at = target + 1; at <= size; at += at & -at) {
          sums[at] = (sums[at] ?? 0) + 1;
        }
      }
      seen += targets.length;
    }
  }
  return crossings;
}

function meanOf(nodes: readonly number[] | undefined, place: Float64Array): number | undefined {
  if (nodes === undefined || nodes.length === 0) {
    return undefined;
  }
  return nodes.reduce((sum, node) => sum + (place[node] ?? 0), 0) / nodes.length;
}

/** Middles of all nodes. */
interface Places {
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** `[layer]`: where it begins and ends. */
  readonly spans: readonly Span[];
}

/** From left to right. */
interface Span {
  readonly leftPx: number;
  readonly rightPx: number;
}

function placeNodes(boxes: readonly GraphBox[], layered: Layered): Places {
  const { layers, before, after } = layered;
  const x = new Float64Array(layered.layerOf.length);
  const y = new Float64Array(layered.layerOf.length);
  const spans: Span[] = [];
  let leftPx = 0;
  for (const layer of layers) {
    const rightPx = placeAcross(layer, boxes, x, leftPx);
    spans.push({ leftPx, rightPx });
    leftPx = rightPx + LAYER_GAP_PX;
    stack(layer, boxes, y, () => 0);
  }
  const rounds = [before, after, before, after];
  for (const [round, neighbours] of rounds.entries()) {
    for (const layer of round % 2 === 0 ? layers : [...layers].reverse()) {
      stack(layer, boxes, y, (node) => meanOf(neighbours[node], y) ?? y[node] ?? 0);
    }
  }
  return { x, y, spans };
}

/** How many columns a layer takes. */
function columnCount(layer: readonly number[], boxes: readonly GraphBox[]): number {
  const count = layer.filter((node) => node < boxes.length).length;
  return count <= COLUMN_BOXES_MAX ? 1 : Math.ceil(Math.sqrt(count / (COLUMN_BOXES_MAX / 4)));
}

/** Gives nodes of a layer their columns, and tells where these end. */
function placeAcross(
  layer: readonly number[],
  boxes: readonly GraphBox[],
  x: Float64Array,
  leftPx: number,
): number {
  const widthPx = layer.reduce((most, node) => Math.max(most, boxes[node]?.widthPx ?? 0), 0);
  const columns = columnCount(layer, boxes);
  const endPx = leftPx + columns * widthPx + (columns - 1) * COLUMN_GAP_PX;
  let boxIndex = 0;
  for (const node of layer) {
    if (node < boxes.length) {
      x[node] = leftPx + widthPx / 2 + (boxIndex++ % columns) * (widthPx + COLUMN_GAP_PX);
    } else {
      x[node] = (leftPx + endPx) / 2;
    }
  }
  return endPx;
}

/** Puts nodes of a layer as near to where they are wanted as their order and size let them. */
function stack(
  layer: readonly number[],
  boxes: readonly GraphBox[],
  y: Float64Array,
  wanted: (node: number) => number,
): void {
  const rows = rowsOf(layer, boxes);
  const offsets: number[] = [];
  let offset = 0;
  for (const [index, row] of rows.entries()) {
    const above = rows[index - 1];
    offset += above === undefined ? 0 : (above.heightPx + row.heightPx) / 2 +
      (above.isBend && row.isBend ? BEND_GAP_PX : BOX_GAP_PX);
    offsets.push(offset);
  }
  const targets = rows.map((row, index) =>
    row.nodes.reduce((sum, node) => sum + wanted(node), 0) / row.nodes.length -
    (offsets[index] ?? 0)
  );
  const fitted = nearestRising(targets);
  for (const [index, row] of rows.entries()) {
    for (const node of row.nodes) {
      y[node] = (fitted[index] ?? 0) + (offsets[index] ?? 0);
    }
  }
}

/** Nodes at the same height: a bend alone, or a box of each column. */
interface Row {
  readonly nodes: number[];
  heightPx: number;
  readonly isBend: boolean;
}

function rowsOf(layer: readonly number[], boxes: readonly GraphBox[]): readonly Row[] {
  const columns = columnCount(layer, boxes);
  const rows: Row[] = [];
  let open: Row | undefined;
  for (const node of layer) {
    const heightPx = boxes[node]?.heightPx ?? 0;
    if (node >= boxes.length) {
      rows.push({ nodes: [node], heightPx, isBend: true });
    } else if (open === undefined || open.nodes.length === columns) {
      open = { nodes: [node], heightPx, isBend: false };
      rows.push(open);
    } else {
      open.nodes.push(node);
      open.heightPx = Math.max(open.heightPx, heightPx);
    }
  }
  return rows;
}

/** The rising numbers that are nearest to those wanted, by least squares. */
export function nearestRising(wanted: readonly number[]): readonly number[] {
  const pools: { sum: number; count: number }[] = [];
  for (const value of wanted) {
    let pool = { sum: value, count: 1 };
    for (
      let last = pools.at(-1);
      last !== undefined && last.sum / last.count >= pool.sum / pool.count;
      last = pools.at(-1)
    ) {
      pools.pop();
      pool = { sum: pool.sum + last.sum, count: pool.count + last.count };
    }
    pools.push(pool);
  }
  return pools.flatMap((pool) => new Array<number>(pool.count).fill(pool.sum / pool.count));
}

function drawing(
  boxes: readonly GraphBox[],
  links: readonly Link[],
  layered: Layered,
  places: Places,
): GraphLayout {
  let topPx = Infinity;
  let bottomPx = -Infinity;
  let rightPx = 0;
  for (const [node, y] of places.y.entries()) {
    const halfPx = (boxes[node]?.heightPx ?? 0) / 2;
    topPx = Math.min(topPx, y - halfPx);
    bottomPx = Math.max(bottomPx, y + halfPx);
    rightPx = Math.max(rightPx, (places.x[node] ?? 0) + (boxes[node]?.widthPx ?? 0) / 2);
  }
  return {
    boxes: boxes.map((box, node) => ({
      ...box,
      x: places.x[node] ?? 0,
      y: (places.y[node] ?? 0) - topPx,
      layer: layered.layerOf[node] ?? 0,
    })),
    edges: links.map((link, place) => {
      const chain = layered.chains[place] ?? [];
      const points = pointsOf(chain, boxes, layered, places).map(({ x, y }) => ({
        x,
        y: y - topPx,
      }));
      return {
        index: link.index,
        points: link.isBackward ? points.reverse() : points,
        isBackward: link.isBackward,
      };
    }),
    widthPx: rightPx,
    heightPx: boxes.length === 0 ? 0 : bottomPx - topPx,
  };
}

/** What an edge passes: from the side of its first box to that of its last. */
function pointsOf(
  chain: readonly number[],
  boxes: readonly GraphBox[],
  layered: Layered,
  places: Places,
): GraphPoint[] {
  return chain.flatMap((node, step): readonly GraphPoint[] => {
    const x = places.x[node] ?? 0;
    const y = places.y[node] ?? 0;
    const box = boxes[node];
    if (box === undefined) {
      return [{ x, y }];
    }
    const span = places.spans[layered.layerOf[node] ?? 0] ?? { leftPx: x, rightPx: x };
    const aisle = y + box.heightPx / 2 + BOX_GAP_PX / 2;
    const left = x - box.widthPx / 2;
    const right = x + box.widthPx / 2;
    // Beside other boxes of its row it goes through the aisle, so that it seems to touch none. A
    // narrower box of a layer of one column is beside none.
    return step === 0
      ? [
        { x: right, y },
        ...(right + COLUMN_GAP_PX < span.rightPx
          ? [{ x: right + COLUMN_GAP_PX / 2, y: aisle }, { x: span.rightPx, y: aisle }]
          : []),
      ]
      : [
        ...(left - COLUMN_GAP_PX > span.leftPx
          ? [{ x: span.leftPx, y: aisle }, { x: left - COLUMN_GAP_PX / 2, y: aisle }]
          : []),
        { x: left, y },
      ];
  });
}
