/**
 * The manager's core alone with tasks of many kinds: 20 categories and 5 shapes of requests, of
 * which one fits no worker, on 4 workers; beside as many tasks alike. Run as a program it prints
 * one JSON line.
 *
 * @module
 */

import process from "node:process";

import type { TaskTemplate, TimedEvent } from "../../manager/core/event.ts";
import type { Fact } from "../../manager/core/fact.ts";
import { newManagerState } from "../../manager/core/new_state.ts";
import { DEFAULT_POLICIES } from "../../manager/core/policy.ts";
import { step } from "../../manager/core/step.ts";
import { describeUnplaceable } from "../../manager/unplaceable_note.ts";
import type { TaskId } from "../../shared/ids.ts";
import type { ResourceRequest } from "../../shared/resources.ts";
import { answer, joining, newTask } from "./core.ts";

/** What one run measured. */
export interface MixedFigures {
  /** Tasks that could run, those that could not beside them, a second. */
  readonly mixedPerSecond: number;
  /** As many tasks as could run there, all alike. */
  readonly alikePerSecond: number;
  /** What was said of those that fit nowhere. */
  readonly explained: readonly string[];
}

/** Tasks of one run. */
export const TASK_COUNT = 50_000;

/** Categories among them. */
export const CATEGORY_COUNT = 20;

const WORKERS = { workerCount: 4, cores: 16 };

/** What tasks ask for, the last of them for what no worker has. */
export const SHAPES: readonly ResourceRequest[] = [
  { cores: 1 },
  { cores: 2 },
  { cores: 1, memoryBytes: 2 ** 30 },
  { memoryBytes: 2 ** 31 },
  { cores: 1, gpus: 64 },
];

/** Runs both, one after the other. */
export function measureMixedCore(taskCount: number = TASK_COUNT): MixedFigures {
  const templates: TaskTemplate[] = [];
  for (let index = 0; index < CATEGORY_COUNT * SHAPES.length; index++) {
    const request = SHAPES[index % SHAPES.length] ?? {};
    templates.push(templateOf(`category ${Math.floor(index / SHAPES.length)}`, request));
  }
  Bun.gc(true);
  const alike = run(taskCount, [templateOf("alike", { cores: 1 })]);
  Bun.gc(true);
  const mixed = run(taskCount, templates);
  return {
    mixedPerSecond: mixed.tasksPerSecond,
    alikePerSecond: alike.tasksPerSecond,
    explained: mixed.explained,
  };
}

/** All of `taskCount` tasks, in turn of each template; what cannot run is cancelled at the end. */
function run(taskCount: number, templates: readonly TaskTemplate[]) {
  const options = { managerId: "bench", epoch: 1, seed: 1, policies: DEFAULT_POLICIES };
  const state = newManagerState(options);
  const facts: Fact[] = [];
  const isDoomed = (id: number) => templates[id % templates.length]?.request.gpus !== undefined;
  const doomed = Array.from({ length: taskCount }, (_, id) => id + 1).filter(isDoomed);
  // Of the processor: what others do on the machine meanwhile is no part of it.
  const started = process.cpuUsage();
  for (let first = 1; first <= taskCount; first += 1_000) {
    const events: TimedEvent[] = [];
    for (let id = first; id < first + 1_000 && id <= taskCount; id++) {
      const template = templates[id % templates.length];
      if (template === undefined) throw new Error("There is no template");
      events.push({ kind: "task_submitted", atMs: 0, task: newTask(id, template) });
    }
    step(state, events);
  }
  let { instructions } = step(state, joining(WORKERS));
  let settled = 0;
  while (settled < taskCount - doomed.length) {
    const events: TimedEvent[] = [];
    for (const instruction of instructions) {
      if (instruction.kind === "settle") settled += 1;
      answer(instruction, events);
    }
    if (events.length === 0 && settled < taskCount - doomed.length) {
      throw new Error("The core is stuck");
    }
    instructions = [];
    // The shell gives a step at most a thousand events.
    for (let first = 0; first < events.length; first += 1_000) {
      const output = step(state, events.slice(first, first + 1_000));
      instructions.push(...output.instructions);
    }
  }
  const { user, system } = process.cpuUsage(started);
  const elapsedMs = (user + system) / 1_000;
  facts.push(...step(state, [{ kind: "tick", atMs: 60_000 }]).facts);
  const ending = doomed.map((id): TimedEvent => {
    return { kind: "task_cancelled", atMs: 60_000, taskId: id as TaskId };
  });
  step(state, ending);
  if (state.tasks.size > 0) throw new Error(`${state.tasks.size} tasks are left`);
  const explained = facts.flatMap((fact) => {
    return fact.kind === "class_unplaceable" ? [describeUnplaceable(fact)] : [];
  });
  return { tasksPerSecond: (taskCount - doomed.length) / elapsedMs * 1_000, explained };
}

function templateOf(category: string, request: ResourceRequest): TaskTemplate {
  return { request, category, env: {}, timeoutMs: 0, minTimeMs: 0 };
}

if (import.meta.main) {
  // What runs first must not be the only one that runs on code that is not compiled yet.
  measureMixedCore();
  process.stdout.write(`${JSON.stringify(measureMixedCore())}\n`);
}
