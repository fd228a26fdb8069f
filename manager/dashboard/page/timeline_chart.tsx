/**
 * The drawing of the timeline, and what stands around it.
 *
 * @module
 */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { BarText } from "./bar_text.ts";
import { useColours, usePainting } from "./canvas.ts";
import { ask } from "./client.ts";
import { duration, instant } from "./format.ts";
import { type Place, useGestures } from "./gestures.ts";
import {
  fittingLanePx,
  groupsBetween,
  LANE_PX_MAX,
  LANE_PX_MIN,
  layoutLanes,
} from "./lane_layout.ts";
import { hrefOf, withParams } from "./route.ts";
import { clampView, isAtEnd, type TimeView } from "./time_axis.ts";
import {
  fit,
  gesturesOf,
  leave,
  type Look,
  pan,
  PAN_SHARE,
  pressKey,
  sceneOf,
  takeWhole,
  type TimelineControl,
  zoom,
  ZOOM_STEP,
} from "./timeline_control.ts";
import { makeLayer, type TimelineLayer } from "./timeline_layer.ts";
import { AXIS_PX, paintTimeline, TIMELINE_COLOURS } from "./timeline_paint.ts";
import { Tool } from "./tool.tsx";
import { Tooltip } from "./tooltip.tsx";

/** Bars of the part that is looked at, at most. */
const PART_BARS_MAX = 12_000;

/** Workers that are asked for at once, at most: those in sight and some around. */
const PART_WORKERS_MAX = 120;

/** Wait after the last move before the part is asked for. */
const ASK_MS = 180;

/** Wait before the address tells what is looked at. */
const ADDRESS_MS = 500;

/** What is drawn. */
export interface TimelineChartProps {
  readonly whole: TimelineLayer;
  readonly params: URLSearchParams;
}

/** The drawing. */
export function TimelineChart({ whole, params }: TimelineChartProps): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [lanePx, setLanePx] = useState(() =>
    fittingLanePx(whole.timeline.lanes, Math.max(innerHeight * 0.6, 300))
  );
  const layout = useMemo(() => layoutLanes(whole.timeline.lanes, lanePx), [whole, lanePx]);
  const colours = useColours(TIMELINE_COLOURS);
  const look = useRef<Look>();
  look.current ??= firstLook({ whole, layout, colours }, params);
  Object.assign(look.current, { layout, colours });
  const { view } = look.current;
  const [tip, setTip] = useState<{ readonly text: BarText; readonly at: Place }>();
  const [, redraw] = useState(0);
  const repaint = usePainting(
    canvas,
    (context, size) => paintTimeline(context, size, sceneOf(control)),
  );
  const control = useMemo((): TimelineControl => ({
    look: look.current as Look,
    canvas: () => canvas.current,
    box: () => box.current,
    changed: () => redraw((times) => times + 1),
    repaint,
    tell: setTip,
    grow: (byPx) => setLanePx((px) => Math.min(Math.max(px + byPx, LANE_PX_MIN), LANE_PX_MAX)),
  }), []);
  useGestures(canvas, gesturesOf(control));
  useEffect(() => takeWhole(control, whole), [whole]);
  const askSoon = usePart(control);
  useEffect(askSoon, [view, whole, lanePx]);
  useAddress(control, params);

  return (
    <section class="card drawing" aria-label="Drawing">
      <Tools control={control} />
      <div
        class="timeline-box"
        ref={box}
        onScroll={() => {
          repaint();
          askSoon();
        }}
        style={{ height: `min(${Math.ceil(layout.heightPx) + AXIS_PX + 4}px, max(70vh, 320px))` }}
      >
        <canvas
          ref={canvas}
          class="timeline-canvas"
          tabIndex={0}
          role="application"
          aria-roledescription="timeline"
          aria-label={KEYS_TEXT}
          aria-describedby="timeline-summary"
          onKeyDown={(event) => pressKey(control, event)}
          onBlur={() => leave(control)}
        />
        <div
          class="timeline-spacer"
          style={{ height: `calc(${Math.ceil(layout.heightPx) + AXIS_PX}px - 100%)` }}
        />
        <Tooltip tip={tip} box={canvas} />
      </div>
      <Legend />
    </section>
  );
}

const KEYS_TEXT = "Bars by worker and time. Arrow keys go from bar to bar, Enter opens it, " +
  "plus and minus zoom, Shift with arrow keys moves, 0 shows all.";

/** All of the run, or what the address says. */
function firstLook(
  parts: Pick<Look, "whole" | "layout" | "colours">,
  params: URLSearchParams,
): Look {
  const bounds = parts.whole.timeline;
  const wanted = { fromMs: Number(params.get("from")), toMs: Number(params.get("to")) };
  const isAsked = wanted.fromMs > 0 && wanted.toMs > wanted.fromMs;
  const view = clampView(isAsked ? wanted : bounds, bounds);
  return {
    ...parts,
    part: undefined,
    view,
    isFit: !isAsked,
    isFollowing: isAtEnd(view, bounds),
    pointerX: undefined,
    marked: undefined,
  };
}

/** Asks for the part in sight once a person has stopped moving; returns what starts the wait. */
function usePart(control: TimelineControl): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const asked = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      const question = partWanted(control);
      const number = ++asked.current;
      if (question === undefined) {
        return;
      }
      ask(question).then((timeline) => {
        if (number === asked.current) {
          control.look.part = makeLayer(timeline);
          control.repaint();
        }
      }, () => {
        // The whole is still drawn; the next move asks again.
      });
    }, ASK_MS);
  };
}

/** What is in sight and some around it, unless the whole tells it as finely. */
function partWanted(control: TimelineControl) {
  const { look } = control;
  const { whole, layout, view } = look;
  if (!whole.isMerged) {
    return undefined;
  }
  const topPx = control.box()?.scrollTop ?? 0;
  const heightPx = control.box()?.clientHeight ?? 0;
  const [first, end] = groupsBetween(layout, topPx - heightPx / 3, topPx + heightPx * 4 / 3);
  const spareMs = (view.toMs - view.fromMs) / 2;
  return {
    kind: "timeline" as const,
    fromMs: Math.floor(Math.max(view.fromMs - spareMs, whole.timeline.fromMs)),
    toMs: Math.ceil(Math.min(view.toMs + spareMs, whole.timeline.toMs)),
    workerIds: layout.groups.slice(first, Math.min(end, first + PART_WORKERS_MAX)).map((group) =>
      group.workerId
    ),
    barsMax: PART_BARS_MAX,
  };
}

/** Keeps the address telling what is looked at, so that a link shows it. */
function useAddress(control: TimelineControl, params: URLSearchParams): void {
  const { view, isFit } = control.look;
  useEffect(() => {
    const timer = setTimeout(() => {
      const changed = withParams(params, {
        from: isFit ? undefined : String(Math.floor(view.fromMs)),
        to: isFit ? undefined : String(Math.ceil(view.toMs)),
      });
      history.replaceState(null, "", hrefOf("timeline", undefined, changed));
    }, ADDRESS_MS);
    return () => clearTimeout(timer);
  }, [view, isFit]);
}

function Tools({ control }: { readonly control: TimelineControl }): JSX.Element {
  const { view, isFollowing, whole } = control.look;
  return (
    <div class="tools">
      <ViewText view={view} isFollowing={isFollowing && view.toMs >= whole.timeline.toMs} />
      <span class="tools-end">
        <Tool label="Earlier" icon="left" onClick={() => pan(control, -PAN_SHARE)} />
        <Tool label="Later" icon="right" onClick={() => pan(control, PAN_SHARE)} />
        <Tool label="Zoom in" icon="plus" onClick={() => zoom(control, ZOOM_STEP)} />
        <Tool label="Zoom out" icon="minus" onClick={() => zoom(control, 1 / ZOOM_STEP)} />
        <Tool label="Lower lanes" icon="flatter" onClick={() => control.grow(-3)} />
        <Tool label="Higher lanes" icon="taller" onClick={() => control.grow(3)} />
        <button type="button" class="button" onClick={() => fit(control)}>All</button>
      </span>
    </div>
  );
}

function ViewText(
  { view, isFollowing }: { readonly view: TimeView; readonly isFollowing: boolean },
): JSX.Element {
  return (
    <span class="soft">
      {instant(view.fromMs)} to {instant(view.toMs, view.fromMs)} ·{" "}
      {duration(view.toMs - view.fromMs)}
      {isFollowing && " · to the end"}
    </span>
  );
}

function Legend(): JSX.Element {
  return (
    <p class="drawing-legend soft">
      <span>
        <i class="bar-sample bar-task" /> task
      </span>
      <span>
        <i class="bar-sample bar-call" /> call (underlined)
      </span>
      <span>
        <i class="bar-sample bar-library" /> library start (hatched)
      </span>
      <span>
        <i class="bar-sample bar-transfer" /> transfer (thin)
      </span>
      <span>
        <i class="bar-sample bar-failed">×</i> failed (crossed)
      </span>
      <span>
        <i class="bar-sample bar-running" /> going on (open end)
      </span>
      <span>
        <i class="bar-sample bar-merged" /> several (piled)
      </span>
      <span class="wide-only">
        Wheel or pinch zooms, drag moves, the wheel over names scrolls.
      </span>
    </p>
  );
}
