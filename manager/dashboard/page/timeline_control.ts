/**
 * What a person does with the drawing of the timeline: looks nearer, moves, goes from bar to bar.
 *
 * @module
 */

import { barBeside, barNear } from "./bar_index.ts";
import { type BarText, describeBar } from "./bar_text.ts";
import type { Gestures, Place } from "./gestures.ts";
import { laneAt, type LaneLayout } from "./lane_layout.ts";
import { clampView, isAtEnd, panView, type TimeView, zoomView } from "./time_axis.ts";
import { type FoundBar, laneKey, layerFor, type TimelineLayer } from "./timeline_layer.ts";
import {
  AXIS_PX,
  timeAt,
  type TimelineColours,
  type TimelineScene,
  xOf,
} from "./timeline_paint.ts";

/** What is looked at; it changes in place while a person drags. */
export interface Look {
  whole: TimelineLayer;
  part: TimelineLayer | undefined;
  layout: LaneLayout;
  colours: TimelineColours;
  view: TimeView;
  /** All of the run, also when it grows. */
  isFit: boolean;
  /** The end of the run, also when it grows. */
  isFollowing: boolean;
  pointerX: number | undefined;
  marked: FoundBar | undefined;
}

/** A look, and who is told of what changes. */
export interface TimelineControl {
  readonly look: Look;
  canvas(): HTMLCanvasElement | null;
  /** What scrolls the lanes. */
  box(): HTMLElement | null;
  /** The view is another. */
  changed(): void;
  repaint(): void;
  /** Says what is pointed at. */
  tell(tip: { readonly text: BarText; readonly at: Place } | undefined): void;
  /** Makes lanes higher by so much. */
  grow(byPx: number): void;
}

/** One press of a key or button. */
export const ZOOM_STEP = 0.6;

/** How much of the view is passed by one press. */
export const PAN_SHARE = 0.2;

/** How near a pointer must be to a bar. */
const REACH_PX = 4;

const SCROLL_PX = 60;

const NAMES_PX = 168;
const NAMES_PX_NARROW = 96;
const NARROW_PX = 620;

/** What is painted. */
export function sceneOf(control: TimelineControl): TimelineScene {
  const { look } = control;
  const namesPx = widthOf(control) < NARROW_PX ? NAMES_PX_NARROW : NAMES_PX;
  return { ...look, scrollPx: control.box()?.scrollTop ?? 0, namesPx };
}

/** Shows another view. */
export function show(control: TimelineControl, view: TimeView): void {
  const { look } = control;
  const bounds = look.whole.timeline;
  look.view = view;
  look.isFit = view.toMs - view.fromMs >= bounds.toMs - bounds.fromMs;
  look.isFollowing = isAtEnd(view, bounds);
  control.changed();
}

/** Shows all of the run. */
export function fit(control: TimelineControl): void {
  const bounds = control.look.whole.timeline;
  show(control, clampView(bounds, bounds));
}

/** Zooms by a factor around a place, or the middle. */
export function zoom(control: TimelineControl, factor: number, x?: number): void {
  const scene = sceneOf(control);
  const widthPx = widthOf(control);
  const around = Math.max(x ?? (scene.namesPx + widthPx) / 2, scene.namesPx);
  const aroundMs = timeAt(around, scene, widthPx);
  show(control, zoomView(scene.view, { factor, aroundMs, bounds: scene.whole.timeline }));
}

/** Moves by a share of what is seen. */
export function pan(control: TimelineControl, share: number): void {
  const { view, whole } = control.look;
  show(control, panView(view, share * (view.toMs - view.fromMs), whole.timeline));
}

/** The run has grown: what is looked at stays, unless it is all of it or its end. */
export function takeWhole(control: TimelineControl, whole: TimelineLayer): void {
  const { look } = control;
  const { isFit, isFollowing } = look;
  const bounds = whole.timeline;
  look.whole = whole;
  const spanMs = look.view.toMs - look.view.fromMs;
  show(
    control,
    clampView(
      isFit
        ? bounds
        : isFollowing
        ? { fromMs: bounds.toMs - spanMs, toMs: bounds.toMs }
        : look.view,
      bounds,
    ),
  );
}

/** What pointers and the wheel do. */
export function gesturesOf(control: TimelineControl): Gestures {
  return {
    pan: ({ x, y }) => {
      control.box()?.scrollBy(0, -y);
      pan(control, -x / Math.max(widthOf(control) - sceneOf(control).namesPx, 1));
    },
    zoom: (factor, around) => zoom(control, factor, around.x),
    point: (at) => {
      control.look.pointerX = at?.x;
      mark(control, at && barUnder(control, at), at);
    },
    pick: (at) => {
      const found = barUnder(control, at);
      mark(control, found, at);
      open(control);
    },
    isScrolling: (at) => at.x < sceneOf(control).namesPx,
  };
}

/** Does what a key stands for, if it stands for anything here. */
export function pressKey(control: TimelineControl, event: KeyboardEvent): void {
  const step = STEPS[event.key];
  const action = ACTIONS[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey || (step ?? action) === undefined) {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
  if (step === undefined) {
    action?.(control);
  } else if (!event.shiftKey) {
    walk(control, step);
  } else if (step.x === 0) {
    control.box()?.scrollBy(0, step.y * SCROLL_PX);
  } else {
    pan(control, step.x * PAN_SHARE);
  }
}

/** Forgets what was pointed at. */
export function leave(control: TimelineControl): void {
  mark(control, undefined, undefined);
}

interface Step {
  readonly x: -1 | 0 | 1;
  readonly y: -1 | 0 | 1;
}

const STEPS: { readonly [key: string]: Step } = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};

const ACTIONS: { readonly [key: string]: (control: TimelineControl) => void } = {
  "+": (control) => zoom(control, ZOOM_STEP),
  "=": (control) => zoom(control, ZOOM_STEP),
  "-": (control) => zoom(control, 1 / ZOOM_STEP),
  "0": fit,
  "[": (control) => control.grow(-3),
  "]": (control) => control.grow(3),
  Home: (control) => pan(control, -Infinity),
  End: (control) => pan(control, Infinity),
  PageUp: (control) => control.box()?.scrollBy(0, -5 * SCROLL_PX),
  PageDown: (control) => control.box()?.scrollBy(0, 5 * SCROLL_PX),
  Enter: open,
  Escape: leave,
};

function widthOf(control: TimelineControl): number {
  return control.canvas()?.clientWidth ?? 1;
}

function mark(control: TimelineControl, found: FoundBar | undefined, at: Place | undefined): void {
  control.look.marked = found;
  const text = found && describeBar(found.layer.timeline, found.bar);
  control.tell(text && at && { text, at });
  control.repaint();
}

function open(control: TimelineControl): void {
  const { marked } = control.look;
  if (marked !== undefined) {
    location.hash = describeBar(marked.layer.timeline, marked.bar).href;
  }
}

/** The bar at a place of the canvas. */
function barUnder(control: TimelineControl, at: Place): FoundBar | undefined {
  const scene = sceneOf(control);
  const lane = laneAt(scene.layout, at.y - AXIS_PX + scene.scrollPx);
  if (lane === undefined || at.y < AXIS_PX || at.x < scene.namesPx) {
    return undefined;
  }
  const { fromMs, toMs } = scene.view;
  const reachMs = (REACH_PX * (toMs - fromMs)) / Math.max(widthOf(control) - scene.namesPx, 1);
  return nearestBar(scene, lane, timeAt(at.x, scene, widthOf(control)), reachMs);
}

function nearestBar(
  scene: TimelineScene,
  lane: number,
  atMs: number,
  reachMs: number,
): FoundBar | undefined {
  const told = scene.whole.timeline.lanes[lane];
  if (told === undefined) {
    return undefined;
  }
  const layer = layerFor(scene, told, scene.view);
  const own = layer.lanes.get(laneKey(told));
  const bar = own === undefined ? undefined : barNear(layer.index, own, atMs, reachMs);
  return bar === undefined ? undefined : { layer, bar };
}

/** Goes from bar to bar, and brings the next in sight. */
function walk(control: TimelineControl, step: Step): void {
  const next = nextBar(sceneOf(control), control.look.marked, step);
  if (next === undefined) {
    return;
  }
  const { bars, lanes } = next.layer.timeline;
  const { view, whole, layout } = control.look;
  const startMs = bars.startMs[next.bar] ?? 0;
  const spanMs = view.toMs - view.fromMs;
  if (startMs > view.toMs || (bars.endMs[next.bar] ?? startMs) < view.fromMs) {
    const fromMs = startMs - spanMs / 3;
    show(control, clampView({ fromMs, toMs: fromMs + spanMs }, whole.timeline));
  }
  const lane = lanes[bars.lane[next.bar] ?? -1];
  const place = lane && whole.lanes.get(laneKey(lane));
  const topPx = place === undefined ? 0 : layout.laneTopPx[place] ?? 0;
  bringInSight(control.box(), topPx, layout.lanePx);
  const scene = sceneOf(control);
  const x = Math.max(xOf(startMs, scene, widthOf(control)), scene.namesPx);
  mark(control, next, { x, y: topPx - scene.scrollPx + AXIS_PX + layout.lanePx });
}

function nextBar(
  scene: TimelineScene,
  from: FoundBar | undefined,
  step: Step,
): FoundBar | undefined {
  const { layout, whole, view } = scene;
  if (from === undefined) {
    const lane = layout.order.find((lane) =>
      (layout.laneTopPx[lane] ?? 0) >= scene.scrollPx &&
      nearestBar(scene, lane, view.fromMs, view.toMs - view.fromMs) !== undefined
    );
    return lane === undefined
      ? undefined
      : nearestBar(scene, lane, view.fromMs, view.toMs - view.fromMs);
  }
  if (step.x !== 0) {
    const bar = barBeside(from.layer.index, from.bar, step.x);
    return bar === undefined ? undefined : { layer: from.layer, bar };
  }
  const { bars, lanes } = from.layer.timeline;
  const lane = lanes[bars.lane[from.bar] ?? -1];
  const place = lane && whole.lanes.get(laneKey(lane));
  const atMs = bars.startMs[from.bar] ?? view.fromMs;
  let row = place === undefined ? -1 : layout.order.indexOf(place);
  for (row += step.y; row >= 0 && row < layout.order.length; row += step.y) {
    const found = nearestBar(scene, layout.order[row] ?? -1, atMs, view.toMs - view.fromMs);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}

function bringInSight(box: HTMLElement | null, topPx: number, heightPx: number): void {
  if (box === null) {
    return;
  }
  const roomPx = box.clientHeight - AXIS_PX;
  if (topPx < box.scrollTop) {
    box.scrollTop = topPx;
  } else if (topPx + heightPx > box.scrollTop + roomPx) {
    box.scrollTop = topPx + heightPx - roomPx + heightPx;
  }
}
