/**
 * The drawing of the vine and its replay: play, pause, speed, and a slider over time.
 *
 * @module
 */

import type { JSX, RefObject } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";

import type { Vine } from "../api.ts";
import { type CanvasSize, pointIn, useColours, usePainting } from "./canvas.ts";
import { bytes, count, duration, instant, plural } from "./format.ts";
import { Icon } from "./icon.tsx";
import { hrefOf } from "./route.ts";
import { Tool } from "./tool.tsx";
import { type Tip, Tooltip } from "./tooltip.tsx";
import { activityOf, chartFlows, type FlowChart, momentOf, type VineMoment } from "./vine_flow.ts";
import { layoutVine, type VineLayout } from "./vine_layout.ts";
import { NAMES_MAX, paintVine, VINE_COLOURS } from "./vine_paint.ts";
import { type Replay, useReplay } from "./vine_replay.ts";

/** Parts of the strip that tells when bytes moved. */
const ACTIVITY_PARTS = 120;

/** A leaf unfolds in this share of the replay. */
const UNFOLD_SHARE = 0.015;

/** How near a pointer must be to a leaf. */
const REACH_PX = 14;

const MARGIN_PX = 22;

/** Room for names at both sides. */
const NAME_PX = 90;

/** A vine with its replay. */
export function VineDrawing({ vine: told }: { readonly vine: Vine }): JSX.Element {
  const vine = useMemo(() => whileMoving(told), [told]);
  const plan = useMemo(() => planOf(vine), [vine]);
  const repaint = useRef((): void => {});
  const replay = useReplay(vine, () => repaint.current());
  const moment = useMemo(() => momentOf(plan.chart, replay.shownAtMs), [plan, replay.shownAtMs]);
  return (
    <section class="card drawing" aria-label="Drawing">
      <ReplayTools replay={replay} vine={vine} />
      <MomentText vine={vine} moment={moment} plan={plan} />
      <VineCanvas vine={vine} plan={plan} replay={replay} repaint={repaint} />
      <Legend isCut={vine.isCut} />
    </section>
  );
}

/** The vine from the first byte to the last: what comes after shows nothing new. */
function whileMoving(vine: Vine): Vine {
  const toMs = Math.max(...vine.edges.map((edge) => edge.endMs ?? vine.toMs), vine.fromMs);
  return { ...vine, fromMs: Math.min(vine.edges[0]?.startMs ?? toMs, toMs), toMs };
}

interface VineCanvasProps {
  readonly vine: Vine;
  readonly plan: Plan;
  readonly replay: Replay;
  /** Is set to what paints the next frame. */
  readonly repaint: { current: () => void };
}

function VineCanvas({ vine, plan, replay, repaint }: VineCanvasProps): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colours = useColours(VINE_COLOURS);
  const [marked, setMarked] = useState<number>();
  const [tip, setTip] = useState<Tip>();
  repaint.current = usePainting(canvas, (context, size) =>
    paintVine(context, size, {
      chart: plan.chart,
      layout: plan.layoutIn(size),
      moment: momentOf(plan.chart, replay.atMs()),
      colours,
      marked,
      unfoldMs: replay.isPlaying ? (vine.toMs - vine.fromMs) * UNFOLD_SHARE : 0,
    }));
  const layout = (): VineLayout => plan.layoutIn(sizeOf(canvas));

  function mark(node: number | undefined): void {
    const at = node === undefined ? undefined : layout().places[node];
    setMarked(node);
    setTip(
      node === undefined || at === undefined
        ? undefined
        : { text: nodeText(plan, momentOf(plan.chart, replay.atMs()), node), at },
    );
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") replay.toggle();
    else if (event.key === "Escape") mark(undefined);
    else if (event.key === "Enter") openNode(vine, marked);
    else if (event.key.startsWith("Arrow")) mark(nodeBeside(layout(), marked, event.key));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <>
      <canvas
        ref={canvas}
        class="vine-canvas"
        tabIndex={0}
        role="application"
        aria-roledescription="vine"
        aria-label="Nodes and what went between them. Arrow keys go from node to node, Enter opens it, Space plays."
        aria-describedby="vine-summary"
        onKeyDown={onKeyDown}
        onBlur={() => mark(undefined)}
        onPointerMove={(event) => {
          const found = nodeAt(layout(), pointIn(event.currentTarget, event));
          if (found !== marked) mark(found);
        }}
        onPointerLeave={() => mark(undefined)}
        onClick={(event) => openNode(vine, nodeAt(layout(), pointIn(event.currentTarget, event)))}
      />
      <Tooltip tip={tip} box={canvas} />
    </>
  );
}

/** A vine prepared to be drawn in any size. */
interface Plan {
  readonly chart: FlowChart;
  /** Of the size that was asked for last, it is kept. */
  layoutIn(size: CanvasSize): VineLayout;
}

function planOf(vine: Vine): Plan {
  let known: { readonly size: CanvasSize; readonly layout: VineLayout } | undefined;
  const layoutIn = (size: CanvasSize): VineLayout => {
    if (known?.size.widthPx !== size.widthPx || known.size.heightPx !== size.heightPx) {
      const sidePx = vine.nodes.length <= NAMES_MAX && size.widthPx > 500 ? NAME_PX : MARGIN_PX;
      known = { size, layout: layoutVine(vine, { ...size, marginPx: MARGIN_PX, sidePx }) };
    }
    return known.layout;
  };
  const { tree } = layoutIn({ widthPx: 100, heightPx: 100 });
  return {
    chart: chartFlows(vine, new Set(tree.limbs.map((limb) => limb.edge))),
    layoutIn,
  };
}

function sizeOf(canvas: RefObject<HTMLCanvasElement>): CanvasSize {
  return {
    widthPx: canvas.current?.clientWidth ?? 1,
    heightPx: canvas.current?.clientHeight ?? 1,
  };
}

function ReplayTools(
  { replay, vine }: { readonly replay: Replay; readonly vine: Vine },
): JSX.Element {
  const activity = useMemo(() => activityOf(vine, ACTIVITY_PARTS), [vine]);
  return (
    <div class="replay">
      {replay.isMotionReduced || (
        <button type="button" class="button primary replay-play" onClick={replay.toggle}>
          <Icon name={replay.isPlaying ? "pause" : "running"} />{" "}
          {replay.isPlaying ? "Pause" : "Replay"}
        </button>
      )}
      <Tool label="Step back" icon="previous" onClick={() => replay.step(-1)} />
      <Tool label="Step on" icon="next" onClick={() => replay.step(1)} />
      <div class="replay-slider">
        <Activity parts={activity} />
        <input
          type="range"
          min={0}
          max={1000}
          step={1}
          ref={replay.slider}
          aria-label="Time"
          aria-valuetext={`${instant(replay.shownAtMs)}, ${
            duration(replay.shownAtMs - vine.fromMs)
          } after the first`}
          onInput={(event) => replay.seek(Number(event.currentTarget.value) / 1000)}
        />
      </div>
      {replay.isMotionReduced || (
        <label>
          Speed{" "}
          <select
            value={replay.speed}
            onChange={(event) => replay.setSpeed(Number(event.currentTarget.value))}
          >
            {[0.25, 0.5, 1, 2, 4].map((speed) => (
              <option key={speed} value={speed}>{speed} ×</option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}

/** When bytes moved, as a strip above the slider. */
function Activity({ parts }: { readonly parts: readonly number[] }): JSX.Element {
  const path = parts.map((part, index) =>
    `M${index + 0.5} 20V${(20 - 20 * Math.sqrt(part)).toFixed(2)}`
  ).join("");
  return (
    <svg
      class="replay-activity"
      viewBox={`0 0 ${parts.length} 20`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <path d={path} />
    </svg>
  );
}

/** The drawing in words, at the instant that it shows. */
function MomentText(
  { vine, moment, plan }: {
    readonly vine: Vine;
    readonly moment: VineMoment;
    readonly plan: Plan;
  },
): JSX.Element {
  const workers = vine.nodes.filter((node) => node.kind === "worker").length;
  const { limbs } = plan.layoutIn({ widthPx: 100, heightPx: 100 }).tree;
  const steps = Math.max(...limbs.map((limb) => limb.depth), 0);
  return (
    <p class="vine-moment" id="vine-summary">
      <b>{instant(moment.atMs)}</b> <span class="soft">+{duration(moment.atMs - vine.fromMs)}</span>
      {" · "}
      {count(moment.holding)} of {plural(workers, "worker")} reached
      {" · "}
      {plural(moment.moving, "transfer")} on the way · {count(moment.failed)} failed ·{" "}
      {bytes(Math.round(moment.bytes))} moved · at most {plural(steps, "step")} from the first.{" "}
      {vine.file
        ? <a href={hrefOf("data", vine.file.fileId)}>The same as a table</a>
        : <a href={hrefOf("data")}>The files as a table</a>}
    </p>
  );
}

function nodeText(plan: Plan, moment: VineMoment, node: number): Tip["text"] {
  const { vine, flows } = plan.chart;
  const told = vine.nodes[node];
  let received = 0;
  let sent = 0;
  for (const [index, flow] of flows.entries()) {
    received += flow.to === node ? moment.flows[index]?.bytes ?? 0 : 0;
    sent += flow.from === node ? moment.flows[index]?.bytes ?? 0 : 0;
  }
  const state = moment.nodes[node] ?? "absent";
  const arrivedAtMs = moment.arrivedAtMs[node] ?? null;
  const limb = plan.layoutIn({ widthPx: 100, heightPx: 100 }).tree.limbs[node];
  const parent = limb === undefined || limb.edge < 0 ? undefined : vine.nodes[limb.parent];
  return {
    title: told === undefined || told.label === told.id
      ? told?.label ?? ""
      : `${told.label} ${told.id}`,
    lines: [
      told?.kind === "worker" ? STATE_WORDS[state] : told?.kind === "url" ? "a web server" : "",
      arrivedAtMs === null || told?.kind !== "worker"
        ? ""
        : `since ${instant(arrivedAtMs, vine.toMs)}${parent ? ` from ${parent.label}` : ""}`,
      `received ${bytes(Math.round(received))}`,
      `gave ${bytes(Math.round(sent))}`,
    ],
  };
}

const STATE_WORDS = {
  absent: "not there yet",
  waiting: "has nothing yet",
  receiving: "is receiving",
  holding: "was reached",
  gone: "has left",
} as const;

function openNode(vine: Vine, node: number | undefined): void {
  const told = vine.nodes[node ?? -1];
  if (told?.kind === "worker") location.hash = hrefOf("workers", told.id);
}

function nodeAt(
  layout: VineLayout,
  at: { readonly x: number; readonly y: number },
): number | undefined {
  let nearest: number | undefined;
  let nearestPx = REACH_PX;
  for (const [node, place] of layout.places.entries()) {
    const distancePx = Math.hypot(place.x - at.x, place.y - at.y);
    if (distancePx <= nearestPx) {
      nearest = node;
      nearestPx = distancePx;
    }
  }
  return nearest;
}

/** Down goes to where bytes came from, up to whom they were given first, else to who stands beside. */
function nodeBeside(layout: VineLayout, from: number | undefined, key: string): number {
  const { tree } = layout;
  if (from === undefined) return tree.root;
  const limb = tree.limbs[from];
  const siblings = tree.children[limb?.parent ?? -1] ?? [from];
  const place = siblings.indexOf(from);
  switch (key) {
    case "ArrowDown":
      return limb === undefined || limb.parent < 0 ? from : limb.parent;
    case "ArrowUp": {
      const children = tree.children[from] ?? [];
      return children[Math.floor(children.length / 2)] ?? from;
    }
    case "ArrowLeft":
      return siblings[Math.max(place - 1, 0)] ?? from;
    default:
      return siblings[Math.min(place + 1, siblings.length - 1)] ?? from;
  }
}

function Legend({ isCut }: { readonly isCut: boolean }): JSX.Element {
  return (
    <p class="drawing-legend soft">
      <span>
        <i class="vine-sample vine-sample-pot" /> manager
      </span>
      <span>
        <i class="vine-sample vine-sample-holding" /> leaf: a worker that was reached
      </span>
      <span>
        <i class="vine-sample vine-sample-waiting" /> small outline: not yet, or left (dashed)
      </span>
      <span>
        <i class="vine-sample vine-sample-bud" /> tip: on its way
      </span>
      <span>
        <i class="vine-sample vine-sample-failed">×</i> broken line: failed
      </span>
      <span>the thicker, the more bytes; dotted: given again</span>
      {isCut && (
        <span>
          <b>Only the largest transfers are drawn.</b>
        </span>
      )}
    </p>
  );
}
