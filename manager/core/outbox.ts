/** The end of a step: what each worker is told, as one ordered list. */

import type { DispatchedTask, ManagerMessage } from "../../shared/protocol.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import type { InputMount, OutputMount, TaskShape, TryId } from "../../shared/task.ts";
import type { Allocation } from "./allocation.ts";
import type { TaskDefinition, TaskTemplate } from "./event.ts";
import { boundName, fileOf, isInPlace, outputFiles } from "./file.ts";
import { comingGeneration } from "./group.ts";
import type { ManagerState, TryRecord } from "./state.ts";
import { valuePrefix } from "./value_file.ts";

/** Messages for one worker that one step collects. */
export interface Outbox {
  readonly messages: ManagerMessage[];
  readonly dispatched: TryRecord[];
  readonly acknowledged: TryId[];
  /** Asked back: after they are dispatched, if that is in this step. */
  readonly recalled: TryId[];
}

/** Makes one `send` for each worker that this step has something for. */
export function flushOutbox(state: ManagerState): void {
  if (state.outbox.size === 0) return;
  for (const [worker, outbox] of state.outbox) {
    const { messages } = outbox;
    const acknowledged = worker.owed.splice(0).concat(outbox.acknowledged);
    if (acknowledged.length > 0) messages.push({ kind: "result_ack", tries: acknowledged });
    if (outbox.dispatched.length > 0) messages.push(dispatchMessage(state, outbox));
    for (const id of outbox.recalled) messages.push({ kind: "recall", ...id });
    if (worker.link.kind !== "open" || messages.length === 0) continue;
    const { session } = worker.link;
    // An acknowledgement promises that the result is safe.
    const durable = acknowledged.length > 0;
    const { workerId } = worker;
    state.instructions.push({ kind: "send", workerId, session, messages, durable });
  }
  state.outbox.clear();
}

/** What the tasks have in common is in the message once. */
function dispatchMessage(
  state: ManagerState,
  outbox: Outbox,
): Outbox["messages"][number] {
  const shapes: TaskShape[] = [];
  const indexes = new Map<TaskTemplate, Map<Allocation | undefined, number>>();
  const tasks: DispatchedTask[] = [];
  for (const attempt of outbox.dispatched) {
    if (attempt.isEnded) continue;
    const { task: { definition }, allocation } = attempt;
    let known = indexes.get(definition.template);
    if (known === undefined) indexes.set(definition.template, known = new Map());
    let index = known.get(allocation);
    if (index === undefined) {
      index = shapes.length;
      known.set(allocation, index);
      shapes.push(shapeOf(state, definition, allocation));
    }
    tasks.push(dispatchedTask(state, attempt, index));
  }
  return { kind: "dispatch", shapes, tasks };
}

function dispatchedTask(state: ManagerState, attempt: TryRecord, shape: number): DispatchedTask {
  const { definition } = attempt.task;
  const inputs: InputMount[] = [];
  for (const { mount, fileId, isSymlink, pathName } of definition.inputs) {
    const file = fileOf(state, fileId);
    const generation = comingGeneration(attempt, file) ?? file.generation;
    const name = boundName(file);
    const input = pathName === undefined
      ? { mount, name, generation }
      : { mount, name, generation, pathName };
    inputs.push(isSymlink === true ? { ...input, isSymlink } : input);
  }
  const outputs: OutputMount[] = [];
  let hasValueFile = false;
  for (const { mount, file, only, isValue } of outputFiles(state, attempt.task)) {
    if (isValue) hasValueFile = true;
    // What is in place is not made twice; all else is, so that it is all of one run.
    if (isValue || isInPlace(file)) continue;
    const output = {
      mount,
      name: boundName(file),
      generation: attempt.try,
      level: file.level,
      isReturned: file.origin.kind === "manager",
    };
    outputs.push(only === undefined ? output : { ...output, only });
  }
  const { taskId, priority, body } = definition;
  const task = { taskId, try: attempt.try, shape, priority, body, inputs, outputs };
  const hasOwnInputs = attempt.task.ambiguousCount > 0;
  if (!hasOwnInputs && !hasValueFile) return task;
  return {
    ...task,
    ...(hasOwnInputs ? { hasOwnInputs } : {}),
    ...(hasValueFile ? { hasValueFile } : {}),
  };
}

/** A definition names environments by file, the wire by cache name. */
function shapeOf(
  state: ManagerState,
  { template, environments }: TaskDefinition,
  allocation: Allocation | undefined,
): TaskShape {
  const { env, timeoutMs, hasSeries, library } = template;
  const shares = allocation?.shares ?? [];
  return {
    resources: allocation?.resources ?? NO_RESOURCES,
    env,
    environments: environments.map((id) => boundName(fileOf(state, id))),
    timeoutMs,
    ...(shares.length === 0 ? {} : { shares }),
    ...(hasSeries === true ? { hasSeries } : {}),
    ...(library === undefined ? {} : { library, valuePrefix: valuePrefix(state) }),
  };
}
