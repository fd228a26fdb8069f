/**
 * Tasks and function calls as metrics: how many, how they and their tries ended, and how long they
 * took by category and library.
 *
 * @module
 */

import type { TaskId } from "../../shared/ids.ts";
import { type Outcome, OUTCOMES } from "../../shared/task.ts";
import type { Fact } from "../core/fact.ts";
import {
  boundsBetween,
  type Count,
  type Histogram,
  type Labels,
  type MetricRegistry,
} from "./metric.ts";
import { seriesByName } from "./metric_names.ts";

const TASK_BOUNDS_S: readonly number[] = boundsBetween(-1, 5);
const CALL_BOUNDS_S: readonly number[] = boundsBetween(-4, 3);
const STAGING_BOUNDS_S: readonly number[] = boundsBetween(-3, 3);

type Kind = "command" | "call";
type ByOutcome = { readonly [O in Outcome]: Count };
type FactOf<K extends Fact["kind"]> = Extract<Fact, { readonly kind: K }>;

/** Where the end of a task is counted. */
interface TaskSeries {
  readonly ended: ByOutcome;
  readonly duration: Histogram;
  readonly staging: Histogram;
}

/** Counts tasks, tries and recoveries. */
export class TaskMetrics {
  readonly #submitted: { readonly [K in Kind]: Count };
  readonly #series: { readonly [K in Kind]: (name: string) => TaskSeries };
  /** `{task that has not ended: where its end is counted}` */
  readonly #tasks: Map<TaskId, TaskSeries> = new Map();
  readonly #triesDispatched: Count;
  readonly #triesStarted: Count;
  readonly #triesReturned: Count;
  readonly #triesEnded: ByOutcome;
  readonly #recoveriesStarted: Count;
  readonly #recoveriesEnded: ByOutcome;

  constructor(registry: MetricRegistry) {
    const submitted = registry.counters(
      "tendril_tasks_submitted_total",
      "Tasks and function calls that were submitted.",
    );
    this.#submitted = {
      command: submitted({ kind: "command" }),
      call: submitted({ kind: "call" }),
    };
    this.#series = newSeries(registry);
    this.#triesDispatched = registry.counter(
      "tendril_tries_dispatched_total",
      "Tries that were given to a worker.",
    );
    this.#triesStarted = registry.counter(
      "tendril_tries_started_total",
      "Tries that a worker told of when they began; of short ones it tells only the end.",
    );
    this.#triesReturned = registry.counter(
      "tendril_tries_returned_total",
      "Tries that came back from a worker before they had begun.",
    );
    this.#triesEnded = byOutcome(registry.counters(
      "tendril_tries_ended_total",
      "Tries that ended, by how; those of workers that left of their own accord do not count.",
    ));
    this.#recoveriesStarted = registry.counter(
      "tendril_recoveries_started_total",
      "Runs of ended tasks that remake lost files.",
    );
    this.#recoveriesEnded = byOutcome(registry.counters(
      "tendril_recoveries_ended_total",
      "Runs of ended tasks that remade lost files, by how they ended.",
    ));
  }

  /** A task was submitted. */
  submit({ taskId, definition }: FactOf<"task_submitted">): void {
    const { category, library } = definition.template;
    const kind = library === undefined ? "command" : "call";
    this.#submitted[kind].value += 1;
    this.#tasks.set(taskId, this.#series[kind](library ?? category));
  }

  /** A task ended. */
  end({ taskId, outcome, end }: FactOf<"task_ended">): void {
    const series = this.#tasks.get(taskId);
    if (series === undefined) return;
    this.#tasks.delete(taskId);
    series.ended[outcome].value += 1;
    const times = end.result?.times;
    if (times === undefined || times.startedAtMs === 0) return;
    series.duration.observe(times.ranMs / 1_000);
    series.staging.observe(times.stagedMs / 1_000);
  }

  /** Something happened to a try. */
  countTry(fact: FactOf<"try_dispatched" | "try_started" | "try_returned" | "try_ended">): void {
    if (fact.kind === "try_dispatched") this.#triesDispatched.value += 1;
    else if (fact.kind === "try_started") this.#triesStarted.value += 1;
    else if (fact.kind === "try_returned") this.#triesReturned.value += 1;
    else this.#triesEnded[fact.outcome].value += 1;
  }

  /** A recovery began or ended. */
  countRecovery(fact: FactOf<"recovery_started" | "recovery_ended">): void {
    if (fact.kind === "recovery_started") this.#recoveriesStarted.value += 1;
    else this.#recoveriesEnded[fact.outcome].value += 1;
  }
}

function newSeries(
  registry: MetricRegistry,
): { readonly [K in Kind]: (name: string) => TaskSeries } {
  const ended = registry.counters(
    "tendril_tasks_ended_total",
    "Tasks and function calls that ended, by how; recoveries are not counted again.",
  );
  const ran = registry.histograms({
    name: "tendril_task_duration_seconds",
    help: "How long the last tries of tasks ran, by category.",
    bounds: TASK_BOUNDS_S,
  });
  const staged = registry.histograms({
    name: "tendril_task_staging_seconds",
    help: "How long the last tries of tasks waited at their worker for inputs and room.",
    bounds: STAGING_BOUNDS_S,
  });
  const callRan = registry.histograms({
    name: "tendril_call_duration_seconds",
    help: "How long the last tries of function calls ran, by library.",
    bounds: CALL_BOUNDS_S,
  });
  const callStaged = registry.histograms({
    name: "tendril_call_staging_seconds",
    help: "How long the last tries of function calls waited at their worker for an instance.",
    bounds: STAGING_BOUNDS_S,
  });
  const endedTasks = byOutcome((labels) => ended({ kind: "command", ...labels }));
  const endedCalls = byOutcome((labels) => ended({ kind: "call", ...labels }));
  return {
    command: seriesByName((category) => ({
      ended: endedTasks,
      duration: ran({ category }),
      staging: staged({ category }),
    })),
    call: seriesByName((library) => ({
      ended: endedCalls,
      duration: callRan({ library }),
      staging: callStaged({ library }),
    })),
  };
}

/** A count for each outcome, there from the start, so that rates of the first are seen. */
function byOutcome(counts: (labels: Labels) => Count): ByOutcome {
  // Every outcome is listed there.
  return Object.fromEntries(
    OUTCOMES.map((outcome) => [outcome, counts({ outcome })]),
  ) as { [O in Outcome]: Count };
}
