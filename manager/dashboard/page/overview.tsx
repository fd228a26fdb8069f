/**
 * Page "Overview": is it moving, what is slow, what failed and why, where the bytes go.
 *
 * @module
 */

import type { ComponentChildren, JSX } from "preact";
import { useMemo } from "preact/hooks";

import type {
  BytesByRoute,
  Counts,
  LiveUpdate,
  Overview as OverviewAnswer,
  RunInfo,
} from "../api.ts";
import { useAnswer } from "./answer.ts";
import { AppList } from "./app_list.tsx";
import { Chart, type ChartSeries } from "./chart.tsx";
import {
  amount,
  bytes,
  count,
  duration,
  instant,
  percent,
  plural,
  rate,
  remaining,
  UNKNOWN,
} from "./format.ts";
import { Icon } from "./icon.tsx";
import { PageHead, Problem, Tile } from "./layout.tsx";
import { live } from "./live.ts";
import { hrefOf } from "./route.ts";
import { nowOf, useRun } from "./run.ts";
import { outcomeWords } from "./state.tsx";
import { NoTasks } from "./tasks.tsx";
import { useStore } from "./store.ts";

/** Points of each curve: about one for each four pixels of a wide screen. */
const POINTS = 240;

/** Rows of the lists at most; the rest is a click away. */
const NOTES_MAX = 12;
const CATEGORIES_MAX = 12;

/** Page "Overview". */
export function Overview(): JSX.Element {
  const { value, error } = useAnswer({ kind: "overview", points: POINTS });
  const { update } = useStore(live);
  const info = useRun();
  const submitted = update?.counts.submitted ?? value?.now.submitted;
  // Calls that are all answered from memory make no task.
  const isEmpty = submitted === 0 && value?.apps.length === 0;
  return (
    <>
      <PageHead title="Overview">{info && <RunLine info={info} />}</PageHead>
      {error !== undefined && value === undefined && <Problem text={error} />}
      {value && <Tiles overview={value} update={update} />}
      {isEmpty && <NothingYet />}
      {value && !isEmpty && (
        <>
          {value.apps.length > 0 && (
            <div class="grid lists">
              <AppList apps={value.apps} />
            </div>
          )}
          <Curves overview={value} moved={update?.bytes ?? value.bytes} />
          <div class="grid lists">
            <Slow overview={value} />
            <Failures overview={value} />
          </div>
        </>
      )}
      {info && (
        <div class="grid lists">
          <Notes info={info} />
        </div>
      )}
    </>
  );
}

function RunLine({ info }: { readonly info: RunInfo }): JSX.Element {
  const until = nowOf(info) ?? info.startedAtMs;
  return (
    <p class="soft">
      {info.name} on {info.host}, started {instant(info.startedAtMs)},{" "}
      {info.endedAtMs === null ? "for" : "took"} {duration(until - info.startedAtMs)}
    </p>
  );
}

interface TilesProps {
  readonly overview: OverviewAnswer;
  readonly update: LiveUpdate | undefined;
}

function Tiles({ overview, update }: TilesProps): JSX.Element {
  const now: Counts = update?.counts ?? overview.now;
  const { series } = overview;
  const isOver = useRun()?.endedAtMs !== null;
  const away = update?.workersAway ?? 0;
  const workers = update?.workersConnected ?? series.workers.at(-1) ?? 0;
  const ended = now.succeeded + now.failed + now.cancelled;
  const left = update === undefined ? overview.leftMs : update.leftMs;
  const staging = now.dispatched;
  const waiting = now.waiting + now.ready;
  return (
    <section class="tiles" aria-label="Now">
      <Tile
        icon="waiting"
        label="Waiting"
        value={waiting}
        note={`${count(now.ready)} for room, ${count(now.waiting)} for inputs`}
        href="#/tasks?state=pending"
      />
      <Tile
        icon="running"
        label="Running"
        value={now.running}
        note={`${count(staging)} staging, ${count(now.retrieving)} retrieving`}
        href="#/tasks?state=running"
      />
      <Tile
        icon="success"
        label="Done"
        value={now.succeeded}
        note={now.submitted === 0
          ? ""
          : `${percent(ended, now.submitted)} of ${count(now.submitted)} ended`}
        href="#/tasks?outcome=success"
      />
      <Tile
        icon="failed"
        label="Failed"
        value={now.failed}
        note={now.cancelled > 0 ? `and ${count(now.cancelled)} cancelled` : ""}
        href="#/tasks?outcome=failed"
      />
      <Tile
        icon="connected"
        label="Workers"
        value={workers}
        note={away > 0 ? `${count(away)} away` : `${amount(coresOf(overview, update))} cores`}
        href="#/workers"
      />
      <Tile
        label={isOver ? "Took" : "Time left"}
        value={isOver ? <RunTook /> : left ? remaining(left) : UNKNOWN}
        note={isOver ? <RunEnd /> : left ? "as in the last minute" : leftNote(now, ended)}
      />
    </section>
  );
}

/** Why the time left is not told. */
function leftNote({ submitted }: Counts, ended: number): string {
  return submitted > 0 && ended >= submitted ? "all have ended" : "not known yet";
}

function RunTook(): JSX.Element {
  const info = useRun();
  return <>{info && duration((nowOf(info) ?? info.startedAtMs) - info.startedAtMs)}</>;
}

function RunEnd(): JSX.Element {
  const info = useRun();
  return <>{info && `until ${instant(nowOf(info), info.startedAtMs)}`}</>;
}

function coresOf({ series }: OverviewAnswer, update: LiveUpdate | undefined): number {
  return update?.cores ?? series.cores.at(-1) ?? 0;
}

/** What to do first. */
function NothingYet(): JSX.Element {
  return (
    <div class="empty">
      <NoTasks />
    </div>
  );
}

interface CurvesProps {
  readonly overview: OverviewAnswer;
  readonly moved: BytesByRoute;
}

function Curves({ overview, moved }: CurvesProps): JSX.Element {
  const { series } = overview;
  const shown = useMemo(() => curvesOf(series), [series]);
  const { atMs } = series;
  return (
    <div class="grid">
      <ChartCard title="Tasks by state" isWide>
        <Chart
          label="Tasks by state over time, stacked"
          atMs={atMs}
          series={shown.states}
          hold="after"
          isStacked
          isWhole
          format={count}
          height={230}
        />
      </ChartCard>
      <ChartCard title="Throughput">
        <Chart
          label="Tasks that ended, a second, over time"
          atMs={atMs}
          series={shown.rate}
          format={rate}
        />
      </ChartCard>
      <ChartCard title="Cores">
        <Chart
          label="Cores busy, committed but idle, and free, over time"
          atMs={atMs}
          series={shown.cores}
          isStacked
          format={amount}
        />
      </ChartCard>
      <ChartCard title="Bytes moved">
        <Chart
          label="Bytes moved a second by route, over time, stacked"
          atMs={atMs}
          series={shown.bytes}
          isStacked
          format={byteRate}
        />
      </ChartCard>
      <Routes now={moved} />
    </div>
  );
}

function byteRate(perSecond: number): string {
  return `${bytes(perSecond)}/s`;
}

interface CardProps {
  readonly title: string;
  readonly isWide?: boolean;
  readonly children: ComponentChildren;
}

function ChartCard({ title, isWide, children }: CardProps): JSX.Element {
  return (
    <section class={`card ${isWide ? "span-2" : ""}`}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** The curves of the three charts. */
function curvesOf(
  series: OverviewAnswer["series"],
): Readonly<Record<"states" | "rate" | "cores" | "bytes", readonly ChartSeries[]>> {
  const pending = series.waiting.map((waiting, at) => waiting + (series.ready[at] ?? 0));
  const staging = series.dispatched.map((staging, at) => staging + (series.retrieving[at] ?? 0));
  // More may be given away than there is: what starts next is given to its worker ahead.
  const committed = series.coresCommitted.map((cores, at) => {
    const given = Math.min(cores, series.cores[at] ?? 0);
    return Math.max(0, given - (series.coresBusy[at] ?? 0));
  });
  const free = series.cores.map((cores, at) => {
    const used = Math.max(series.coresBusy[at] ?? 0, series.coresCommitted[at] ?? 0);
    return Math.max(0, cores - used);
  });
  return {
    states: [
      { name: "done", colour: "success", values: series.succeeded },
      { name: "failed", colour: "failed", values: series.failed },
      { name: "cancelled", colour: "cancelled", values: series.cancelled },
      { name: "running", colour: "running", values: series.running },
      { name: "moving files", colour: "dispatched", values: staging },
      { name: "waiting", colour: "waiting", values: pending },
    ],
    rate: [{ name: "tasks ended", colour: "success", values: series.rate }],
    cores: [
      { name: "busy", colour: "running", values: series.coresBusy },
      { name: "committed, idle", colour: "dispatched", values: committed },
      { name: "free", colour: "free", values: free },
    ],
    bytes: [
      {
        name: "manager to workers",
        colour: "running",
        values: perSecond(series.atMs, series.managerToWorkerBytes),
      },
      {
        name: "worker to worker",
        colour: "success",
        values: perSecond(series.atMs, series.workerToWorkerBytes),
      },
      {
        name: "workers to manager",
        colour: "dispatched",
        values: perSecond(series.atMs, series.workerToManagerBytes),
      },
      {
        name: "urls",
        colour: "retrieving",
        values: perSecond(
          series.atMs,
          series.urlToWorkerBytes.map((read, at) => read + (series.workerToUrlBytes[at] ?? 0)),
        ),
      },
    ],
  };
}

/** How fast a sum grows: at each instant, since the one before. */
export function perSecond(atMs: readonly number[], sums: readonly number[]): number[] {
  return sums.map((sum, at) => {
    const tookMs = (atMs[at] ?? 0) - (atMs[at - 1] ?? 0);
    if (at === 0 || tookMs <= 0) return 0;
    return Math.max(0, (sum - (sums[at - 1] ?? 0)) / (tookMs / 1000));
  });
}

function Slow({ overview }: { readonly overview: OverviewAnswer }): JSX.Element {
  const categories = overview.categories.slice(0, CATEGORIES_MAX);
  const longest = Math.max(1, ...categories.map(({ p90Ms }) => p90Ms));
  return (
    <section class="card">
      <h2>What is slow</h2>
      {categories.length === 0 ? <p class="soft">Nothing has ended yet.</p> : (
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Category</th>
              <th scope="col" class="number">Ended</th>
              <th scope="col" class="number">Median</th>
              <th scope="col" class="number">9 of 10 within</th>
              <th scope="col" class="wide-only">
                <span class="hidden">Median and 90th percentile</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {categories.map(({ name, count: ended, medianMs, p90Ms }) => (
              <tr key={name}>
                <td>
                  <a href={slowest(name)} title="Its slowest tasks">{name || "(none)"}</a>
                </td>
                <td class="number">{count(ended)}</td>
                <td class="number">{duration(medianMs)}</td>
                <td class="number">{duration(p90Ms)}</td>
                <td class="wide-only">
                  <span class="spread">
                    <i class="spread-p90" style={{ width: `${p90Ms / longest * 100}%` }} />
                    <i class="spread-median" style={{ width: `${medianMs / longest * 100}%` }} />
                  </span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {overview.categories.length > CATEGORIES_MAX && (
        <p class="soft">
          and {plural(overview.categories.length - CATEGORIES_MAX, "more", "more")}
        </p>
      )}
    </section>
  );
}

function slowest(category: string): string {
  return hrefOf("tasks", undefined, new URLSearchParams({ category, sort: "-ran" }));
}

function Failures({ overview }: { readonly overview: OverviewAnswer }): JSX.Element {
  return (
    <section class="card">
      <h2>What failed, and why</h2>
      {overview.failures.length === 0
        ? <p class="soft">No task has failed.</p>
        : (
          <ul class="failures">
            {overview.failures.map(({ outcome, count: failed, taskId, message }) => (
              <li key={outcome}>
                <a class="mark mark-failed" href={`#/tasks?outcome=${encodeURIComponent(outcome)}`}>
                  <Icon name="failed" />
                  {count(failed)} {outcomeWords(outcome)}
                </a>
                <p>
                  {message || "no message"}{" "}
                  <a href={hrefOf("tasks", taskId)} class="nowrap">task {taskId}</a>
                </p>
              </li>
            ))}
          </ul>
        )}
    </section>
  );
}

/** `[field, words]`, in the order in which bytes go. */
const ROUTES: readonly (readonly [keyof BytesByRoute, string])[] = [
  ["managerToWorker", "manager to workers"],
  ["workerToWorker", "worker to worker"],
  ["workerToManager", "workers to manager"],
  ["urlToWorker", "urls to workers"],
  ["workerToUrl", "workers to urls"],
];

function Routes({ now }: { readonly now: BytesByRoute }): JSX.Element {
  const most = Math.max(1, ...ROUTES.map(([route]) => now[route]));
  const total = ROUTES.reduce((sum, [route]) => sum + now[route], 0);
  return (
    <section class="card">
      <h2>Bytes by route</h2>
      <table class="plain">
        <tbody>
          {ROUTES.map(([route, words]) => (
            <tr key={route}>
              <th scope="row">{words}</th>
              <td class="number">{bytes(now[route])}</td>
              <td>
                <span class="spread">
                  <i class="spread-median" style={{ width: `${now[route] / most * 100}%` }} />
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="soft">
        {bytes(total)} in all, {percent(now.workerToWorker, total)} of it from worker to worker.
        {" "}
        <a href="#/vine">How files spread</a>
      </p>
    </section>
  );
}

function Notes({ info }: { readonly info: RunInfo }): JSX.Element {
  const notes = info.notes.slice(-NOTES_MAX).toReversed();
  return (
    <section class="card span-2">
      <h2>Notes</h2>
      {notes.length === 0 ? <p class="soft">Nothing to tell.</p> : (
        <ul class="notes">
          {notes.map(({ atMs, text }, at) => (
            <li key={`${atMs} ${at}`}>
              <span class="soft nowrap">{instant(atMs, nowOf(info))}</span> <span>{text}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
