/**
 * Paints the vine: stems that grow from leaf to leaf while bytes move, a leaf where they arrived.
 *
 * @module
 */

import type { CanvasSize } from "./canvas.ts";
import type { CanvasColour } from "./theme.ts";
import type { Flow, FlowChart, FlowState, NodeState, VineMoment } from "./vine_flow.ts";
import { stemCurve, type VineLayout, type VinePlace } from "./vine_layout.ts";

/** Names of variables of the style sheet that are painted with, beside those of any canvas. */
export const VINE_COLOURS = [
  "vine-stem",
  "vine-tendril",
  "vine-leaf",
  "vine-leaf-young",
  "vine-bud",
  "vine-soil",
] as const;

/** `{name of a colour: it}` */
export type VineColours = Readonly<Record<CanvasColour | typeof VINE_COLOURS[number], string>>;

/** Everything that is painted. */
export interface VineScene {
  readonly chart: FlowChart;
  readonly layout: VineLayout;
  readonly moment: VineMoment;
  readonly colours: VineColours;
  /** Index of the node that is pointed at or has the focus. */
  readonly marked: number | undefined;
  /** A leaf takes so long to unfold; 0 when nothing moves. */
  readonly unfoldMs: number;
}

/** Tendrils between stems at most: those of most bytes. */
const TENDRILS_MAX = 400;

/** Nodes with their names beside them, at most. */
export const NAMES_MAX = 60;

const STEM_PX_MIN = 1;
const STEM_PX_MAX = 7;

const FONT = "11px system-ui, sans-serif";

/** Paints all of it. */
export function paintVine(
  context: CanvasRenderingContext2D,
  size: CanvasSize,
  scene: VineScene,
): void {
  const { chart, layout } = scene;
  context.lineCap = "round";
  paintSoil(context, size, scene);
  const tendrils = chart.flows.filter((flow) => !flow.isStem).length;
  for (let index = chart.flows.length - 1; index >= 0; index--) {
    const flow = chart.flows[index];
    const state = scene.moment.flows[index];
    if (flow === undefined || state === undefined) {
      continue;
    }
    const stemCount = chart.flows.length - tendrils;
    if (flow.isStem || index - stemCount < TENDRILS_MAX) {
      paintFlow(context, scene, flow, state);
    }
  }
  for (const [node, place] of layout.places.entries()) {
    paintNode(context, scene, node, place);
  }
  paintNames(context, size, scene);
}

/** A point. */
export interface Dot {
  readonly x: number;
  readonly y: number;
}

/** A Bezier curve: four points. */
export type Curve = readonly Dot[];

/** A line between stems; it bows to a side, so that what goes forth and what goes back are two. */
function tendrilCurve(from: Dot, to: Dot): Curve {
  const x = (to.y - from.y) * BOW;
  const y = (from.x - to.x) * BOW;
  return [
    from,
    { x: from.x + (to.x - from.x) / 3 + x, y: from.y + (to.y - from.y) / 3 + y },
    { x: from.x + (to.x - from.x) * 2 / 3 + x, y: from.y + (to.y - from.y) * 2 / 3 + y },
    to,
  ];
}

/** Of its length, how far a line bows. */
const BOW = 0.18;

const NOWHERE: Dot = { x: 0, y: 0 };

/** The first part of a curve, by de Casteljau's construction. */
function partOf(curve: Curve, share: number): Curve {
  const [a = NOWHERE, b = a, c = a, d = a] = curve;
  const ab = between(a, b, share);
  const bc = between(b, c, share);
  const cd = between(c, d, share);
  const abc = between(ab, bc, share);
  const bcd = between(bc, cd, share);
  return [a, ab, abc, between(abc, bcd, share)];
}

/** The width of a line for so many bytes, so that its area tells them; thinner among many. */
function stemWidth(bytes: number, bytesMax: number, nodeCount: number): number {
  const most = Math.min(Math.max(64 / Math.sqrt(nodeCount), STEM_PX_MIN + 1), STEM_PX_MAX);
  return STEM_PX_MIN + (most - STEM_PX_MIN) * Math.sqrt(Math.min(bytes / bytesMax, 1));
}

function along(from: Dot, angle: number, distance: number): Dot {
  return { x: from.x + Math.sin(angle) * distance, y: from.y - Math.cos(angle) * distance };
}

function between(a: Dot, b: Dot, share: number): Dot {
  return { x: a.x + (b.x - a.x) * share, y: a.y + (b.y - a.y) * share };
}

function paintSoil(context: CanvasRenderingContext2D, size: CanvasSize, scene: VineScene): void {
  const root = scene.layout.places[scene.layout.tree.root];
  if (root === undefined) {
    return;
  }
  const half = Math.min(size.widthPx * 0.4, 260);
  const gradient = context.createLinearGradient(root.x - half, 0, root.x + half, 0);
  gradient.addColorStop(0, "transparent");
  gradient.addColorStop(0.5, scene.colours["vine-soil"]);
  gradient.addColorStop(1, "transparent");
  context.fillStyle = gradient;
  context.fillRect(root.x - half, root.y + 11, 2 * half, 2);
}

function paintFlow(
  context: CanvasRenderingContext2D,
  scene: VineScene,
  flow: Flow,
  state: FlowState,
): void {
  const { layout, colours, chart, marked } = scene;
  const from = layout.places[flow.from];
  const to = layout.places[flow.to];
  if (from === undefined || to === undefined || flow.from === flow.to) {
    return;
  }
  const isMarked = marked === flow.from || marked === flow.to;
  const curve = flow.isStem ? stemCurve(layout.fan, from, to) : tendrilCurve(from, to);
  if (state.grown > 0) {
    const grown = state.grown < 1 ? partOf(curve, state.grown) : curve;
    context.strokeStyle = isMarked
      ? colours.accent
      : flow.isStem
      ? colours["vine-stem"]
      : colours["vine-tendril"];
    context.globalAlpha = flow.isStem || isMarked ? 1 : 0.45;
    const width = stemWidth(state.bytes, chart.bytesMax, layout.places.length);
    context.lineWidth = flow.isStem ? width : Math.min(width, 3) * 0.7;
    context.setLineDash(flow.isStem ? [] : [1, 4]);
    stroke(context, grown);
    context.setLineDash([]);
    context.globalAlpha = 1;
    if (state.moving > 0) {
      paintBud(context, colours, grown[3] ?? NOWHERE);
    }
  }
  if (state.failed > 0 && (state.grown < 1 || isMarked)) {
    paintFailure(context, colours, curve);
  }
}

function stroke(context: CanvasRenderingContext2D, curve: Curve): void {
  const [a = NOWHERE, b = a, c = a, d = a] = curve;
  context.beginPath();
  context.moveTo(a.x, a.y);
  context.bezierCurveTo(b.x, b.y, c.x, c.y, d.x, d.y);
  context.stroke();
}

/** The tip of what grows. */
function paintBud(context: CanvasRenderingContext2D, colours: VineColours, { x, y }: Dot): void {
  context.fillStyle = colours["vine-bud"];
  context.strokeStyle = colours.card;
  context.lineWidth = 1.5;
  context.beginPath();
  context.arc(x, y, 3.6, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
}

/** A broken line with a cross. */
function paintFailure(
  context: CanvasRenderingContext2D,
  colours: VineColours,
  curve: Curve,
): void {
  context.strokeStyle = colours.failed;
  context.lineWidth = 1.25;
  context.setLineDash([4, 4]);
  stroke(context, curve);
  context.setLineDash([]);
  const { x, y } = partOf(curve, 0.6)[3] ?? NOWHERE;
  context.lineWidth = 2;
  context.beginPath();
  for (const sign of [-1, 1]) {
    context.moveTo(x - 4, y - 4 * sign);
    context.lineTo(x + 4, y + 4 * sign);
  }
  context.stroke();
}

function paintNode(
  context: CanvasRenderingContext2D,
  scene: VineScene,
  node: number,
  place: VinePlace,
): void {
  const { chart, moment, layout, colours } = scene;
  const told = chart.vine.nodes[node];
  const state = moment.nodes[node] ?? "absent";
  if (told === undefined || (state === "absent" && told.kind === "worker")) {
    return;
  }
  if (told.kind === "manager") {
    paintPot(context, colours, place);
  } else if (told.kind === "url") {
    paintDrop(context, colours, place);
  } else {
    paintWorker(context, scene, node, state);
  }
  if (scene.marked === node) {
    context.strokeStyle = colours.ink;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(place.x, place.y, layout.leafPx + 5, 0, 2 * Math.PI);
    context.stroke();
  }
}

function paintWorker(
  context: CanvasRenderingContext2D,
  { moment, layout, colours, unfoldMs }: VineScene,
  node: number,
  state: NodeState,
): void {
  const place = layout.places[node];
  if (place === undefined) {
    return;
  }
  const isHolding = state === "holding";
  const sinceMs = moment.atMs - (moment.arrivedAtMs[node] ?? moment.atMs);
  const unfolded = isHolding && unfoldMs > 0 ? 0.35 + 0.65 * Math.min(sinceMs / unfoldMs, 1) : 1;
  paintLeaf(context, place, layout.leafPx * (isHolding ? unfolded : 0.62));
  const isYoung = (layout.tree.limbs[node]?.depth ?? 0) % 2 === 0;
  context.fillStyle = isHolding ? colours[isYoung ? "vine-leaf-young" : "vine-leaf"] : colours.card;
  context.fill();
  context.lineWidth = isHolding ? 1 : 1.25;
  context.strokeStyle = isHolding
    ? colours.card
    : state === "receiving"
    ? colours["vine-bud"]
    : colours["ink-soft"];
  context.setLineDash(state === "gone" ? [2, 2] : []);
  context.globalAlpha = state === "waiting" || state === "gone" ? 0.6 : 1;
  context.stroke();
  context.globalAlpha = 1;
  context.setLineDash([]);
  if (isHolding && layout.leafPx >= 8) {
    paintVein(context, colours, place, layout.leafPx * unfolded);
  }
}

/** A leaf with its tip away from its stem. */
function paintLeaf(context: CanvasRenderingContext2D, place: VinePlace, halfPx: number): void {
  const stalk = along(place, place.angle, -halfPx * 0.6);
  const tip = along(place, place.angle, halfPx * 1.25);
  const side = halfPx * 0.95;
  const left = along(along(place, place.angle, -halfPx * 0.1), place.angle - Math.PI / 2, side);
  const right = along(along(place, place.angle, -halfPx * 0.1), place.angle + Math.PI / 2, side);
  context.beginPath();
  context.moveTo(stalk.x, stalk.y);
  context.quadraticCurveTo(left.x, left.y, tip.x, tip.y);
  context.quadraticCurveTo(right.x, right.y, stalk.x, stalk.y);
  context.closePath();
}

function paintVein(
  context: CanvasRenderingContext2D,
  colours: VineColours,
  place: VinePlace,
  halfPx: number,
): void {
  const stalk = along(place, place.angle, -halfPx * 0.6);
  const end = along(place, place.angle, halfPx * 0.7);
  context.strokeStyle = colours.card;
  context.globalAlpha = 0.65;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(stalk.x, stalk.y);
  context.lineTo(end.x, end.y);
  context.stroke();
  context.globalAlpha = 1;
}

/** The manager is the pot that all grows from. */
function paintPot(
  context: CanvasRenderingContext2D,
  colours: VineColours,
  { x, y }: VinePlace,
): void {
  context.fillStyle = colours["vine-soil"];
  context.beginPath();
  context.moveTo(x - 15, y - 4);
  context.lineTo(x + 15, y - 4);
  context.lineTo(x + 10, y + 20);
  context.lineTo(x - 10, y + 20);
  context.closePath();
  context.fill();
  context.beginPath();
  context.roundRect(x - 18, y - 9, 36, 8, 2);
  context.fill();
}

/** Bytes from the web fall in as drops. */
function paintDrop(
  context: CanvasRenderingContext2D,
  colours: VineColours,
  { x, y }: VinePlace,
): void {
  context.fillStyle = colours["vine-bud"];
  context.beginPath();
  context.moveTo(x, y - 10);
  context.bezierCurveTo(x + 9, y, x + 6, y + 8, x, y + 8);
  context.bezierCurveTo(x - 6, y + 8, x - 9, y, x, y - 10);
  context.fill();
}

/** Names beside what has room for them; sources always have theirs. */
function paintNames(context: CanvasRenderingContext2D, size: CanvasSize, scene: VineScene): void {
  const { chart, layout, colours, moment } = scene;
  const halfPx = layout.leafPx * 0.8;
  // A name hides no leaf.
  const taken: (readonly [number, number, number, number])[] = layout.places.map(
    ({ x, y }) => [x - halfPx, y - halfPx, x + halfPx, y + halfPx] as const,
  );
  const isNamingAll = chart.vine.nodes.length <= NAMES_MAX;
  context.font = FONT;
  context.textBaseline = "middle";
  for (const [node, place] of layout.places.entries()) {
    const told = chart.vine.nodes[node];
    if (told === undefined || (told.kind === "worker" && !isNamingAll)) {
      continue;
    }
    if (told.kind === "worker" && moment.nodes[node] === "absent") {
      continue;
    }
    const isRoot = node === layout.tree.root;
    const text = told.label.length > 26 ? `${told.label.slice(0, 25)}…` : told.label;
    const widthPx = context.measureText(text).width;
    const gapPx = isRoot ? 24 : layout.leafPx + 7;
    const isLeft = !isRoot && Math.sin(place.angle) < -0.12;
    const x = Math.min(
      Math.max(isLeft ? place.x - gapPx - widthPx : place.x + gapPx, 4),
      size.widthPx - widthPx - 4,
    );
    // Beside the stems that go on from there.
    const isPassed = !isRoot && (layout.tree.children[node]?.length ?? 0) > 0;
    const y = isRoot ? place.y - 6 : isPassed ? place.y + 12 : place.y - Math.cos(place.angle) * 6;
    const box = [x - 2, y - 7, x + widthPx + 2, y + 7] as const;
    const isFree = taken.every((other) =>
      box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]
    );
    if (isFree || isRoot) {
      taken.push(box);
      context.lineWidth = 3;
      context.lineJoin = "round";
      context.strokeStyle = colours.card;
      context.strokeText(text, x, y);
      context.fillStyle = isRoot ? colours.ink : colours["ink-soft"];
      context.fillText(text, x, y);
    }
  }
}
