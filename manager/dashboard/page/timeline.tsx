/**
 * The timeline: what each slot of each worker did and when, as bars that are zoomed and moved.
 *
 * @module
 */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import { useAnswer } from "./answer.ts";
import { count, duration, instant, plural } from "./format.ts";
import { Problem } from "./layout.tsx";
import { hrefOf } from "./route.ts";
import { TimelineChart } from "./timeline_chart.tsx";
import { countBars, makeLayer, type TimelineLayer } from "./timeline_layer.ts";

/** Bars of the whole run at most; nearer views ask for theirs. */
const WHOLE_BARS_MAX = 20_000;

/** Page "Timeline". */
export function Timeline({ params }: { readonly params: URLSearchParams }): JSX.Element {
  const workerId = params.get("worker");
  const { value, error } = useAnswer({
    kind: "timeline",
    barsMax: WHOLE_BARS_MAX,
    ...(workerId !== null && { workerIds: [workerId] }),
  });
  const layer = useMemo(() => value && makeLayer(value), [value]);
  return (
    <>
      <div class="page-head">
        <h1>Timeline</h1>
        {layer && <Summary layer={layer} />}
        {workerId !== null && <a href={hrefOf("timeline")}>All workers</a>}
      </div>
      {error !== undefined && <Problem text={error} />}
      {layer === undefined
        ? error === undefined && <p class="empty">Drawing…</p>
        : layer.timeline.lanes.length === 0
        ? <p class="empty">No worker has done anything yet.</p>
        : <TimelineChart whole={layer} params={params} />}
    </>
  );
}

/** The drawing in words, for who cannot see it. */
function Summary({ layer }: { readonly layer: TimelineLayer }): JSX.Element {
  const { timeline, workers } = layer;
  const { tasks, others } = useMemo(() => countBars(timeline), [timeline]);
  return (
    <p class="soft" id="timeline-summary">
      {plural(tasks, "try", "tries")} of tasks and calls, {count(others)}{" "}
      library starts and transfers on {plural(workers.size, "worker")} in{" "}
      {duration(timeline.toMs - timeline.fromMs)}, from{" "}
      {instant(timeline.fromMs)}. The same as a table: <a href={hrefOf("tasks")}>tasks</a>,{" "}
      <a href={hrefOf("workers")}>workers</a>.
    </p>
  );
}
