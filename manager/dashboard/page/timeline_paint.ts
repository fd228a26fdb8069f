/**
 * Paints the timeline: names of workers at the left, the time above, bars in their lanes. Only what
 * is in sight is looked at.
 *
 * @module
 */

import { eachBarBetween } from "./bar_index.ts";
import type { CanvasSize } from "./canvas.ts";
import { groupsBetween, type LaneGroup, type LaneLayout } from "./lane_layout.ts";
import type { CanvasColour } from "./theme.ts";
import { timeTicks, type TimeView } from "./time_axis.ts";
import { type FoundBar, laneKey, layerFor, type TimelineLayer } from "./timeline_layer.ts";

/** Names of variables of the style sheet that are painted with, beside those of any canvas. */
export const TIMELINE_COLOURS = [
  "bar-task",
  "bar-call",
  "bar-library",
  "bar-transfer",
  "bar-ink",
] as const;

/** `{name of a colour: it}` */
export type TimelineColours = Readonly<
  Record<CanvasColour | typeof TIMELINE_COLOURS[number], string>
>;

/** Everything that is painted. */
export interface TimelineScene {
  readonly layout: LaneLayout;
  readonly whole: TimelineLayer;
  readonly part: TimelineLayer | undefined;
  readonly view: TimeView;
  readonly scrollPx: number;
  readonly namesPx: number;
  /** Where the pointer is; a line tells the instant. */
  readonly pointerX: number | undefined;
  readonly marked: FoundBar | undefined;
  readonly colours: TimelineColours;
}

/** Height of the axis. */
export const AXIS_PX = 28;

const FONT = "12px system-ui, sans-serif";
const SMALL_FONT = "11px system-ui, sans-serif";

/** A bar is at least as wide, so that nothing is lost. */
const BAR_PX_MIN = 1;

/** Paints all of it. */
export function paintTimeline(
  context: CanvasRenderingContext2D,
  size: CanvasSize,
  scene: TimelineScene,
): void {
  const { layout, scrollPx } = scene;
  const [first, end] = groupsBetween(layout, scrollPx, scrollPx + size.heightPx - AXIS_PX);
  const groups = layout.groups.slice(first, end);
  context.textBaseline = "middle";
  paintGrid(context, size, scene, groups);
  context.save();
  context.beginPath();
  context.rect(scene.namesPx, AXIS_PX, size.widthPx - scene.namesPx, size.heightPx - AXIS_PX);
  context.clip();
  const brush = makeBrush(context, scene);
  for (const group of groups) {
    const layer = layerFor(scene, group, scene.view);
    for (const lane of group.lanes) {
      paintLane(brush, size, scene, { layer, lane });
    }
  }
  paintMark(context, size, scene);
  context.restore();
  paintNames(context, size, scene, groups);
  paintAxis(context, size, scene);
}

/** Where an instant is, in pixels from the left. */
export function xOf(
  atMs: number,
  scene: Pick<TimelineScene, "view" | "namesPx">,
  widthPx: number,
): number {
  const { fromMs, toMs } = scene.view;
  return scene.namesPx + ((atMs - fromMs) / (toMs - fromMs)) * (widthPx - scene.namesPx);
}

/** The instant at a place. */
export function timeAt(
  x: number,
  scene: Pick<TimelineScene, "view" | "namesPx">,
  widthPx: number,
): number {
  const { fromMs, toMs } = scene.view;
  const share = (x - scene.namesPx) / Math.max(widthPx - scene.namesPx, 1);
  return fromMs + share * (toMs - fromMs);
}

function paintGrid(
  context: CanvasRenderingContext2D,
  size: CanvasSize,
  scene: TimelineScene,
  groups: readonly LaneGroup[],
): void {
  context.fillStyle = scene.colours.grid;
  for (const tick of timeTicks(scene.view, size.widthPx - scene.namesPx)) {
    context.fillRect(Math.round(xOf(tick.atMs, scene, size.widthPx)), AXIS_PX, 1, size.heightPx);
  }
  for (const group of groups) {
    const y = group.topPx + group.heightPx - scene.scrollPx + AXIS_PX + 1;
    context.fillRect(0, Math.round(y), size.widthPx, 1);
  }
}

/** What bars are painted with. */
interface Brush {
  readonly context: CanvasRenderingContext2D;
  readonly hatch: CanvasPattern | string;
  readonly colours: TimelineColours;
  /** The colour that is set: setting it again would cost as much as a bar. */
  fill: string;
}

function makeBrush(context: CanvasRenderingContext2D, { colours }: TimelineScene): Brush {
  return { context, hatch: hatchOf(context, colours["bar-ink"]), colours, fill: "" };
}

/** Diagonal lines: they tell library starts from tasks without their colour. */
function hatchOf(context: CanvasRenderingContext2D, colour: string): CanvasPattern | string {
  const tile = document.createElement("canvas");
  tile.width = 6;
  tile.height = 6;
  const drawing = tile.getContext("2d");
  if (drawing !== null) {
    drawing.strokeStyle = colour;
    drawing.globalAlpha = 0.6;
    drawing.lineWidth = 1.2;
    for (const shift of [-6, 0, 6]) {
      drawing.moveTo(shift, 6);
      drawing.lineTo(shift + 6, 0);
    }
    drawing.stroke();
  }
  return context.createPattern(tile, "repeat") ?? colour;
}

function paintLane(
  brush: Brush,
  size: CanvasSize,
  scene: TimelineScene,
  { layer, lane }: { readonly layer: TimelineLayer; readonly lane: number },
): void {
  const { layout, view, scrollPx, namesPx } = scene;
  const wholeLane = scene.whole.timeline.lanes[lane];
  const own = layer === scene.whole || wholeLane === undefined
    ? lane
    : layer.lanes.get(laneKey(wholeLane));
  if (own === undefined) {
    return;
  }
  const top = (layout.laneTopPx[lane] ?? 0) - scrollPx + AXIS_PX;
  const gapPx = layout.lanePx >= 8 ? 2 : layout.lanePx >= 6 ? 1 : 0;
  const { timeline } = layer;
  const { bars } = timeline;
  const scale = (size.widthPx - namesPx) / (view.toMs - view.fromMs);
  eachBarBetween(layer.index, { lane: own, ...view }, (bar) => {
    const left = Math.max(namesPx + ((bars.startMs[bar] ?? 0) - view.fromMs) * scale, namesPx - 4);
    const right = Math.min(
      namesPx + ((bars.endMs[bar] ?? 0) - view.fromMs) * scale,
      size.widthPx + 4,
    );
    const isWide = right - left >= 4;
    paintBar(brush, {
      kind: bars.kind[bar] ?? "task",
      state: bars.state[bar] ?? 0,
      count: bars.count[bar] ?? 1,
      label: isWide ? timeline.labels[bars.label[bar] ?? -1] ?? "" : "",
      left,
      top: top + gapPx / 2,
      width: Math.max(isWide ? right - left - 1 : right - left, BAR_PX_MIN),
      height: layout.lanePx - gapPx,
    });
  });
}

/** One bar in its place. */
interface BarShape {
  readonly kind: "task" | "call" | "library" | "transfer";
  readonly state: number;
  readonly count: number;
  readonly label: string;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const FAILED = 1;
const RUNNING = 2;

function paintBar(brush: Brush, shape: BarShape): void {
  const { context, colours } = brush;
  const { kind, state, count, left, width } = shape;
  // Transfers are thinner: they are told from work by their height as well.
  const isThin = kind === "transfer" && shape.height >= 6;
  const top = isThin ? shape.top + shape.height * 0.22 : shape.top;
  const height = isThin ? shape.height * 0.56 : shape.height;
  // Of several, not all have failed: they keep their colour and are marked.
  const fill = state === FAILED && count === 1 ? colours.failed : colours[`bar-${kind}`];
  if (brush.fill !== fill) {
    context.fillStyle = fill;
    brush.fill = fill;
  }
  const isFaint = count > 1 || state === RUNNING;
  context.globalAlpha = isFaint ? 0.72 : 1;
  context.fillRect(left, top, width, height);
  context.globalAlpha = 1;
  if (state === FAILED && count > 1) {
    context.fillStyle = colours.failed;
    brush.fill = "";
    context.fillRect(left, top, width, Math.max(height / 3, 1));
  }
  if (width < 5 || height < 4) {
    return;
  }
  paintPattern(brush, shape, top, height);
  brush.fill = "";
  paintLabel(brush, shape, top, height);
}

/** Kind and state without colour: stripes, lines, a cross, an open end. */
function paintPattern(brush: Brush, shape: BarShape, top: number, height: number): void {
  const { context, colours, hatch } = brush;
  const { kind, state, count, left, width } = shape;
  if (kind === "library") {
    context.fillStyle = hatch;
    context.fillRect(left, top, width, height);
  } else if (kind === "call") {
    context.fillStyle = colours["bar-ink"];
    context.globalAlpha = 0.55;
    context.fillRect(left, top + height - 2, width, 2);
    context.globalAlpha = 1;
  }
  if (count > 1) {
    // As a pile of cards is seen from its side.
    context.fillStyle = colours.card;
    context.globalAlpha = 0.5;
    for (let x = left + 4; x < left + Math.min(width - 1, 14); x += 4) {
      context.fillRect(x, top, 1, height);
    }
    context.globalAlpha = 1;
  }
  if (state === FAILED) {
    const side = Math.min(height - 3, 7);
    if (width > side + 2) {
      context.strokeStyle = colours["bar-ink"];
      paintCross(context, left + width - side - 2, top + (height - side) / 2, side);
    }
  } else if (state === RUNNING) {
    context.fillStyle = colours.card;
    for (let y = top; y < top + height; y += 4) {
      context.fillRect(left + width - 3, y, 3, 2);
    }
  }
}

function paintCross(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  side: number,
): void {
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + side, y + side);
  context.moveTo(x + side, y);
  context.lineTo(x, y + side);
  context.stroke();
}

function paintLabel(brush: Brush, shape: BarShape, top: number, height: number): void {
  const { context, colours } = brush;
  const marksPx = (shape.count > 1 ? 14 : 0) + (shape.state === FAILED ? 12 : 0);
  const roomPx = shape.width - 8 - marksPx;
  if (height < 11 || roomPx < 28 || shape.kind === "library" && roomPx < 60) {
    return;
  }
  context.font = SMALL_FONT;
  const text = shape.count > 1 ? `${shape.count} ×` : shape.label;
  const shown = shortened(context, text, roomPx);
  context.fillStyle = colours["bar-ink"];
  const left = shape.left + 4 + (shape.count > 1 ? 14 : 0);
  context.fillText(shown, Math.max(left, 0), top + height / 2 + 0.5);
}

function shortened(context: CanvasRenderingContext2D, text: string, roomPx: number): string {
  const widthPx = context.measureText(text).width;
  if (widthPx <= roomPx) {
    return text;
  }
  const length = Math.floor((text.length * roomPx) / widthPx) - 1;
  return length < 2 ? "" : `${text.slice(0, length)}…`;
}

/** Names of hosts differ at their ends: these are kept. */
function tailOf(context: CanvasRenderingContext2D, text: string, roomPx: number): string {
  const widthPx = context.measureText(text).width;
  const length = Math.floor((text.length * roomPx) / widthPx) - 1;
  return widthPx <= roomPx ? text : `…${text.slice(-Math.max(length, 2))}`;
}

/** The bar that is pointed at or has the focus. */
function paintMark(
  context: CanvasRenderingContext2D,
  size: CanvasSize,
  scene: TimelineScene,
): void {
  const { marked, layout, colours } = scene;
  if (marked === undefined) {
    return;
  }
  const { bars, lanes } = marked.layer.timeline;
  const lane = lanes[bars.lane[marked.bar] ?? -1];
  const place = lane === undefined ? undefined : scene.whole.lanes.get(laneKey(lane));
  if (place === undefined) {
    return;
  }
  const left = Math.max(xOf(bars.startMs[marked.bar] ?? 0, scene, size.widthPx), scene.namesPx - 4);
  const right = Math.min(xOf(bars.endMs[marked.bar] ?? 0, scene, size.widthPx), size.widthPx + 4);
  const top = (layout.laneTopPx[place] ?? 0) - scene.scrollPx + AXIS_PX;
  const width = Math.max(right - left, 3);
  context.strokeStyle = colours.card;
  context.lineWidth = 4;
  context.strokeRect(left, top, width, layout.lanePx);
  context.strokeStyle = colours.ink;
  context.lineWidth = 2;
  context.strokeRect(left, top, width, layout.lanePx);
}

function paintNames(
  context: CanvasRenderingContext2D,
  size: CanvasSize,
  scene: TimelineScene,
  groups: readonly LaneGroup[],
): void {
  const { layout, colours, namesPx } = scene;
  context.save();
  context.beginPath();
  context.rect(0, AXIS_PX, namesPx, size.heightPx - AXIS_PX);
  context.clip();
  context.fillStyle = colours.line;
  context.fillRect(namesPx - 1, AXIS_PX, 1, size.heightPx);
  const marksPx = layout.lanePx >= 10 ? 34 : 0;
  let freeFrom = -Infinity;
  for (const group of groups) {
    const top = group.topPx - scene.scrollPx + AXIS_PX;
    // The name stays in sight as long as some lane of the worker is.
    const y = Math.min(Math.max(top + 8, AXIS_PX + 8), Math.max(top + group.heightPx - 8, top + 6));
    if (y - 7 >= freeFrom) {
      context.font = FONT;
      context.fillStyle = colours.ink;
      context.fillText(tailOf(context, group.name, namesPx - marksPx - 14), 8, y);
      freeFrom = y + 7;
    }
    if (marksPx > 0) {
      paintLaneNames(context, scene, group);
    }
  }
  context.restore();
}

function paintLaneNames(
  context: CanvasRenderingContext2D,
  { layout, colours, namesPx, whole, scrollPx }: TimelineScene,
  group: LaneGroup,
): void {
  context.font = SMALL_FONT;
  context.fillStyle = colours["ink-soft"];
  context.textAlign = "right";
  for (const lane of group.lanes) {
    const told = whole.timeline.lanes[lane];
    const word = told?.kind === "slot" ? `${told.index + 1}` : LANE_SIGNS[told?.kind ?? "slot"];
    const y = (layout.laneTopPx[lane] ?? 0) - scrollPx + AXIS_PX + layout.lanePx / 2;
    context.fillText(word, namesPx - 8, y);
  }
  context.textAlign = "left";
}

/** What lanes are called where there is little room. */
const LANE_SIGNS = { slot: "", library: "lib", transfer: "net" } as const;

function paintAxis(
  context: CanvasRenderingContext2D,
  size: CanvasSize,
  scene: TimelineScene,
): void {
  const { colours, namesPx, pointerX } = scene;
  context.fillStyle = colours.card;
  context.fillRect(0, 0, size.widthPx, AXIS_PX);
  context.fillStyle = colours.line;
  context.fillRect(0, AXIS_PX - 1, size.widthPx, 1);
  context.textAlign = "left";
  for (const tick of timeTicks(scene.view, size.widthPx - namesPx)) {
    const x = Math.round(xOf(tick.atMs, scene, size.widthPx));
    context.fillStyle = colours["ink-soft"];
    context.fillRect(x, AXIS_PX - 6, 1, 6);
    context.font = tick.isMajor ? `600 ${SMALL_FONT}` : SMALL_FONT;
    context.fillText(tick.label, x + 4, AXIS_PX / 2 - 1);
  }
  if (pointerX !== undefined && pointerX > namesPx) {
    context.fillStyle = colours.accent;
    context.globalAlpha = 0.7;
    context.fillRect(Math.round(pointerX), AXIS_PX - 8, 1, size.heightPx);
    context.globalAlpha = 1;
  }
}
