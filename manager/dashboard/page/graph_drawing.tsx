/**
 * The drawing of the graph: it is moved and zoomed, and walked with the arrow keys.
 *
 * @module
 */

import type { JSX, RefObject } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { useGestures } from "./gestures.ts";
import type { GraphPoint, PlacedBox, PlacedEdge } from "./graph_layout.ts";
import { boxBeside, type GraphItem, type GraphScene } from "./graph_scene.ts";
import { Tool } from "./tool.tsx";

/** Which part of the drawing is seen: its left upper corner, and pixels of the page for one of it. */
interface View {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
}

const SCALE_MIN = 0.03;
const SCALE_MAX = 3;

/** At first, nothing is drawn smaller than can be read. */
const READABLE_SCALE = 0.55;
const READABLE_SCALE_NARROW = 0.85;
const NARROW_PX = 620;

const ZOOM_STEP = 0.7;

const MARGIN_PX = 24;

/** What is drawn. */
export interface GraphDrawingProps {
  readonly scene: GraphScene;
  readonly isCut: boolean;
}

/** The drawing. */
export function GraphDrawing({ scene, isCut }: GraphDrawingProps): JSX.Element {
  const svg = useRef<SVGSVGElement>(null);
  const { view, setView, zoom, fit } = useView(svg, scene);
  const [active, setActive] = useState(scene.items[0]?.id ?? "");
  const [lit, setLit] = useState<string>();

  function onKeyDown(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const from = scene.layout.boxes.find((box) => box.id === active);
    if (event.key === "+" || event.key === "=") zoom(ZOOM_STEP);
    else if (event.key === "-") zoom(1 / ZOOM_STEP);
    else if (event.key === "0") fit(SCALE_MIN);
    else if (event.key.startsWith("Arrow") && from !== undefined) {
      walk(boxBeside(scene.layout.boxes, from, event.key));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function walk(to: PlacedBox | undefined): void {
    if (to === undefined) return;
    setActive(to.id);
    setView((last) => last && withInSight(last, svg.current, to));
    const links = svg.current?.querySelectorAll<SVGAElement>("a.graph-node") ?? [];
    [...links].find((link) => link.dataset.id === to.id)?.focus({ preventScroll: true });
  }

  // The same element again: it stays as it is while the view moves.
  const contents = useMemo(
    () => <Contents scene={scene} active={active} lit={lit} onLight={setLit} />,
    [scene, active, lit],
  );
  return (
    <section class="card drawing" aria-label="Drawing">
      <div class="tools">
        <span class="soft">From left to right: what leads to what.</span>
        <span class="tools-end">
          <Tool label="Zoom in" icon="plus" onClick={() => zoom(ZOOM_STEP)} />
          <Tool label="Zoom out" icon="minus" onClick={() => zoom(1 / ZOOM_STEP)} />
          <button type="button" class="button" onClick={() => fit(SCALE_MIN)}>All</button>
        </span>
      </div>
      <svg
        ref={svg}
        class={`graph-canvas ${view && view.scale < FAR_SCALE ? "graph-far" : ""}`}
        style={{ height: `clamp(260px, ${Math.ceil(scene.layout.heightPx) + 120}px, 72vh)` }}
        role="group"
        aria-label="Graph. Arrow keys go from box to box, Enter opens, plus and minus zoom, 0 shows all."
        aria-describedby="graph-summary"
        onKeyDown={onKeyDown}
        onFocusIn={(event) => setActive(idOf(event.target) ?? active)}
      >
        <g
          transform={view && `scale(${view.scale}) translate(${-view.x} ${-view.y})`}
        >
          {contents}
        </g>
      </svg>
      <Legend
        isCut={isCut}
        hasFiles={scene.items.some(({ kind }) => kind === "file" || kind === "file_group")}
        hasJoins={scene.edges.some(({ isJoin }) => isJoin === true)}
      />
    </section>
  );
}

interface LegendProps extends Pick<GraphDrawingProps, "isCut"> {
  readonly hasFiles: boolean;
  readonly hasJoins: boolean;
}

function Legend({ isCut, hasFiles, hasJoins }: LegendProps): JSX.Element {
  return (
    <p class="drawing-legend soft">
      <span>The strip of a box tells states</span>
      {hasFiles && <span>Round box: files</span>}
      {hasJoins && <span>Dotted line: what a call returned the future of</span>}
      <span class="wide-only">Wheel or pinch zooms, drag moves.</span>
      {isCut && (
        <span>
          <b>There is more than is drawn here.</b>
        </span>
      )}
    </p>
  );
}

/** From so far, words cannot be read. */
const FAR_SCALE = 0.35;

function idOf(target: EventTarget | null): string | undefined {
  return target instanceof SVGElement
    ? target.closest<SVGAElement>("a.graph-node")?.dataset.id
    : undefined;
}

/** What is seen of a drawing, and what changes it. */
interface ViewControl {
  readonly view: View | undefined;
  readonly setView: (change: (last: View | undefined) => View | undefined) => void;
  /** Around the middle. */
  readonly zoom: (factor: number) => void;
  /** All of it, but no smaller than that. */
  readonly fit: (scaleMin: number) => void;
}

function useView(svg: RefObject<SVGSVGElement>, scene: GraphScene): ViewControl {
  const [view, setView] = useState<View>();
  const fit = (scaleMin: number): void => setView(fittingView(svg.current, scene, scaleMin));
  const zoomAt = (factor: number, at: GraphPoint): void =>
    setView((last) => last && zoomed(last, factor, at));
  // A run that goes on adds to the graph: what is looked at stays until its shape is another.
  useEffect(
    () => fit(innerWidth < NARROW_PX ? READABLE_SCALE_NARROW : READABLE_SCALE),
    [`${scene.layout.widthPx} ${scene.layout.heightPx}`],
  );
  useGestures(svg, {
    pan: ({ x, y }) =>
      setView((last) =>
        last && { ...last, x: last.x - x / last.scale, y: last.y - y / last.scale }
      ),
    zoom: zoomAt,
    point: () => {},
    pick: () => {},
  });
  const zoom = (factor: number): void => {
    const { clientWidth: x = 0, clientHeight: y = 0 } = svg.current ?? {};
    zoomAt(factor, { x: x / 2, y: y / 2 });
  };
  return { view, setView, zoom, fit };
}

interface ContentsProps {
  readonly scene: GraphScene;
  readonly active: string;
  /** Whose links stand out. */
  readonly lit: string | undefined;
  readonly onLight: (id: string | undefined) => void;
}

/** Boxes and edges. */
function Contents({ scene, active, lit, onLight }: ContentsProps): JSX.Element {
  const boxes = useMemo(
    () => new Map(scene.layout.boxes.map((box) => [box.id, box])),
    [scene],
  );
  return (
    <>
      {scene.layout.edges.map((edge) => (
        <Edge
          key={edge.index}
          edge={edge}
          count={scene.edges[edge.index]?.count ?? 1}
          isJoin={scene.edges[edge.index]?.isJoin === true}
          isActive={lit !== undefined &&
            (scene.edges[edge.index]?.from === lit || scene.edges[edge.index]?.to === lit)}
        />
      ))}
      {scene.items.map((item) => {
        const box = boxes.get(item.id);
        return box && (
          <Node
            key={item.id}
            item={item}
            box={box}
            isActive={item.id === active}
            onLight={onLight}
          />
        );
      })}
    </>
  );
}

interface EdgeProps {
  readonly edge: PlacedEdge;
  readonly count: number;
  readonly isJoin: boolean;
  readonly isActive: boolean;
}

function Edge({ edge, count, isJoin, isActive }: EdgeProps): JSX.Element {
  const end = edge.points.at(-1) ?? { x: 0, y: 0 };
  const looks = [
    ...(isActive ? ["is-active"] : []),
    ...(edge.isBackward ? ["is-backward"] : []),
    ...(isJoin ? ["is-join"] : []),
  ];
  return (
    <g class={`graph-edge ${looks.join(" ")}`}>
      <path d={curveThrough(edge.points)} stroke-width={Math.min(1 + Math.log2(count) / 2.5, 6)} />
      <path class="graph-arrow" d={`M${end.x} ${end.y}l-7 -4v8z`} />
    </g>
  );
}

/** A smooth line through points that go to the right. */
function curveThrough(points: readonly GraphPoint[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  let path = `M${first.x} ${first.y}`;
  let last = first;
  for (const point of rest) {
    const middle = (last.x + point.x) / 2;
    path += `C${middle} ${last.y} ${middle} ${point.y} ${point.x} ${point.y}`;
    last = point;
  }
  return path;
}

interface NodeProps {
  readonly item: GraphItem;
  readonly box: PlacedBox;
  readonly isActive: boolean;
  readonly onLight: (id: string | undefined) => void;
}

function Node({ item, box, isActive, onLight }: NodeProps): JSX.Element {
  const { widthPx, heightPx } = box;
  const isTask = item.kind !== "file" && item.kind !== "file_group";
  const textX = isTask ? 10 : widthPx / 2;
  return (
    <g transform={`translate(${box.x - widthPx / 2} ${box.y - heightPx / 2})`}>
      <a
        class={`graph-node graph-${item.kind} graph-is-${item.standing ?? "file"}`}
        href={item.href}
        data-id={item.id}
        tabIndex={isActive ? 0 : -1}
        aria-label={item.sentence}
        onFocus={() => onLight(item.id)}
        onBlur={() => onLight(undefined)}
        onPointerEnter={() => onLight(item.id)}
        onPointerLeave={() => onLight(undefined)}
        draggable={false}
      >
        <title>{item.sentence}</title>
        <rect class="graph-box" width={widthPx} height={heightPx} rx={isTask ? 5 : heightPx / 2} />
        {isTask && <Strip item={item} box={box} />}
        <text x={textX} y={item.note === "" ? heightPx / 2 + 4 : isTask ? 18 : heightPx / 2 - 2}>
          {item.title}
        </text>
        {item.note !== "" && (
          <text class="graph-note" x={textX} y={isTask ? 34 : heightPx - 6}>{item.note}</text>
        )}
      </a>
    </g>
  );
}

/** What share of the tasks stands how. */
function Strip({ item, box }: Pick<NodeProps, "item" | "box">): JSX.Element {
  let x = 1;
  return (
    <>
      {item.shares.map(([standing, share]) => {
        const from = x;
        x += share * (box.widthPx - 2);
        return (
          <rect
            key={standing}
            class={`graph-share-${standing}`}
            x={from}
            y={box.heightPx - 6}
            width={x - from}
            height={5}
          />
        );
      })}
    </>
  );
}

function zoomed(view: View, factor: number, at: GraphPoint): View {
  const scale = Math.min(Math.max(view.scale / factor, SCALE_MIN), SCALE_MAX);
  return {
    x: view.x + at.x / view.scale - at.x / scale,
    y: view.y + at.y / view.scale - at.y / scale,
    scale,
  };
}

/** All of the drawing in the middle; when that is too small to read, its upper left part. */
function fittingView(svg: SVGSVGElement | null, scene: GraphScene, scaleMin: number): View {
  const width = svg?.clientWidth ?? 1;
  const height = svg?.clientHeight ?? 1;
  const { widthPx, heightPx } = scene.layout;
  const fitting = Math.min(
    (width - 2 * MARGIN_PX) / Math.max(widthPx, 1),
    (height - 2 * MARGIN_PX) / Math.max(heightPx, 1),
    1.25,
  );
  const scale = Math.max(fitting, scaleMin);
  const startOf = (lengthPx: number, roomPx: number): number => {
    const isLonger = lengthPx * scale > roomPx - 2 * MARGIN_PX + 1;
    return isLonger ? -MARGIN_PX / scale : (lengthPx - roomPx / scale) / 2;
  };
  return { x: startOf(widthPx, width), y: startOf(heightPx, height), scale };
}

function withInSight(view: View, svg: SVGSVGElement | null, box: PlacedBox): View {
  const width = (svg?.clientWidth ?? 0) / view.scale;
  const height = (svg?.clientHeight ?? 0) / view.scale;
  const isSeen = box.x - box.widthPx / 2 > view.x && box.x + box.widthPx / 2 < view.x + width &&
    box.y - box.heightPx / 2 > view.y && box.y + box.heightPx / 2 < view.y + height;
  return isSeen ? view : { ...view, x: box.x - width / 2, y: box.y - height / 2 };
}
