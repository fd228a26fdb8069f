/**
 * Curves and stacked areas over time, drawn by uPlot in the colours of the theme and as wide as
 * there is room; the numbers under the pointer stand in the legend.
 *
 * @module
 */

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

import { instant } from "./format.ts";
import { useStore } from "./store.ts";
import { colourOf, colours } from "./theme.ts";

/** One curve. */
export interface ChartSeries {
  readonly name: string;
  /** Name of a colour of the style sheet, as `running`. */
  readonly colour: string;
  /** As long as the chart's `atMs`. */
  readonly values: readonly number[];
  /** Drawn as a line without an area. */
  readonly isLine?: boolean;
}

/** What a chart shows. */
export interface ChartProps {
  /** For who cannot see it: what is drawn. */
  readonly label: string;
  readonly atMs: readonly number[];
  readonly series: readonly ChartSeries[];
  /** Areas stand on each other, the first at the bottom. */
  readonly isStacked?: boolean;
  /** Values are whole: so are the lines of the grid. */
  readonly isWhole?: boolean;
  /** A value with its unit. */
  readonly format: (value: number) => string;
  /** In pixels. */
  readonly height?: number;
  /**
   * What a point tells of the time around it: how it was from then on, as counts do; default how it
   * was until then, as rates and means do. Samples are far apart while little changes.
   */
  readonly hold?: "after";
}

const HEIGHT = 190;

/** 1, 2, 5, 10 and on. */
const WHOLE_STEPS: number[] = Array.from({ length: 12 }, (_, power) => power)
  .flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

/** Charts of a page have one pointer. */
const SYNC_KEY = "time";

/** `values` on the sums of those before them. */
export function stack(values: readonly (readonly number[])[]): number[][] {
  const stacked: number[][] = [];
  for (const column of values) {
    const below = stacked.at(-1);
    stacked.push(column.map((value, index) => value + (below?.[index] ?? 0)));
  }
  return stacked;
}

/** Curves over time. */
export function Chart(props: ChartProps): JSX.Element {
  const { atMs, series, label, format } = props;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const [shown, setShown] = useState<number>();
  const coloursVersion = useStore(colours);
  const shape = series.map(({ name, colour, isLine }) => `${name} ${colour} ${isLine}`).join();
  useLayoutEffect(() => {
    if (host.current === null) return;
    const made = makePlot(host.current, props, setShown);
    plot.current = made;
    const observer = new ResizeObserver(([entry]) => {
      const width = Math.floor(entry?.contentRect.width ?? 0);
      if (width > 0) made.setSize({ width, height: props.height ?? HEIGHT });
    });
    observer.observe(host.current);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape, coloursVersion]);
  useEffect(() => plot.current?.setData(columnsOf(props)), [atMs, series]);
  const index = shown !== undefined && shown < atMs.length ? shown : atMs.length - 1;
  return (
    <figure class="chart" aria-label={label}>
      <figcaption class="legend">
        {series.map(({ name, colour, isLine, values }) => (
          <span key={name} class="legend-entry">
            <i class={`swatch ${isLine ? "swatch-line" : ""} colour-${colour}`} />
            {name} <b>{index >= 0 ? format(values[index] ?? 0) : ""}</b>
          </span>
        ))}
        <span class="legend-time">
          {shown !== undefined && index >= 0 ? instant(atMs[index], atMs.at(-1)) : "latest"}
        </span>
      </figcaption>
      <div class="chart-plot" ref={host} />
    </figure>
  );
}

/** What holds from the last point on is shown for so much of the time. */
const TAIL_SHARE = 0.02;

/** uPlot draws the later over the earlier: the highest of a stack comes first. */
function columnsOf({ atMs, series, isStacked, hold }: ChartProps): uPlot.AlignedData {
  const areas = series.filter(({ isLine }) => !isLine).map(({ values }) => values);
  const lines = series.filter(({ isLine }) => isLine).map(({ values }) => values);
  const heights = isStacked ? stack(areas).reverse() : areas;
  const columns = [...heights, ...lines];
  const [firstMs, lastMs] = [atMs[0], atMs.at(-1)];
  if (hold !== "after" || firstMs === undefined || lastMs === undefined) {
    return [[...atMs], ...columns.map((column) => [...column])];
  }
  const endMs = lastMs + Math.max((lastMs - firstMs) * TAIL_SHARE, 1);
  return [[...atMs, endMs], ...columns.map((column) => [...column, column.at(-1) ?? null])];
}

function makePlot(
  host: HTMLElement,
  props: ChartProps,
  show: (index: number | undefined) => void,
): uPlot {
  const areas = props.series.filter(({ isLine }) => !isLine);
  const lines = props.series.filter(({ isLine }) => isLine);
  const ordered = [...(props.isStacked ? areas.toReversed() : areas), ...lines];
  const ink = colourOf("ink-soft");
  const grid = { stroke: colourOf("grid"), width: 1 };
  const axis = { stroke: ink, grid, ticks: { ...grid, size: 4 }, font: "11px system-ui" };
  return new uPlot(
    {
      width: Math.max(host.clientWidth, 80),
      height: props.height ?? HEIGHT,
      ms: 1,
      legend: { show: false },
      cursor: { y: false, sync: { key: SYNC_KEY }, drag: { x: false, y: false } },
      padding: [8, 28, 0, 0],
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.05 : 1] } },
      axes: [
        { ...axis, size: 26, space: 70, values: timeTicks },
        {
          ...axis,
          size: 62,
          space: 34,
          ...(props.isWhole && { incrs: WHOLE_STEPS }),
          values: (_, splits) => splits.map((value) => props.format(value)),
        },
      ],
      series: [{}, ...ordered.map((series) => drawingOf(series, props))],
      hooks: {
        setCursor: [(made) => show(made.cursor.idx ?? undefined)],
      },
    },
    columnsOf(props),
    host,
  );
}

function drawingOf(
  { name, colour, isLine }: ChartSeries,
  { isStacked = false, hold }: ChartProps,
): uPlot.Series {
  const stroke = colourOf(colour);
  const paths = uPlot.paths.stepped?.({ align: hold === "after" ? 1 : -1 });
  return {
    label: name,
    stroke,
    ...(paths && { paths }),
    width: isLine ? 2 : 1.25,
    ...(isLine && isStacked && { dash: [5, 4] }),
    ...(!isLine && { fill: mix(stroke, colourOf("card"), isStacked ? 0.62 : 0.18) }),
    points: { show: false },
  };
}

/** A colour of two as the browser tells them, `rgb(1, 2, 3)`: so much of the first. */
export function mix(colour: string, other: string, part: number): string {
  const [first, second] = [colour, other].map((text) => (text.match(/[\d.]+/g) ?? []).map(Number));
  const mixed = [0, 1, 2].map((at) => {
    return Math.round((first?.[at] ?? 0) * part + (second?.[at] ?? 0) * (1 - part));
  });
  return `rgb(${mixed.join(", ")})`;
}

/** Hours and minutes, with seconds when the ticks are closer. */
function timeTicks(_: uPlot, splits: number[]): string[] {
  const stepMs = (splits[1] ?? 0) - (splits[0] ?? 0);
  const labels = splits.map((atMs) => {
    const [day = "", time = ""] = instant(atMs).split(" ");
    if (stepMs >= 24 * 3600e3) return day.slice(5);
    return stepMs < 60e3 ? time : time.slice(0, 5);
  });
  // Closer than a second they would repeat.
  return labels.map((label, index) => label === labels[index - 1] ? "" : label);
}
