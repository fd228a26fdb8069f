/** A graph of four stages over temps, each task of which reads what two of the stage before made. */

import type { TaskDefinition, TaskTemplate } from "../../manager/core/event.ts";
import type { CacheName, FileId, TaskId } from "../../shared/ids.ts";
import { declareTemp, emptyWorkload, type Workload } from "./workload.ts";

const STAGES = 4;

/** Makes the graph with `taskCount` tasks; every third task has two outputs, which are read together. */
export function newStages({ taskCount }: { readonly taskCount: number }): Workload {
  const workload = emptyWorkload();
  const template: TaskTemplate = {
    request: { cores: 1 },
    category: "default",
    env: {},
    minTimeMs: 0,
    // Longer than any try that ends by itself.
    timeoutMs: 8_000,
  };
  const width = Math.floor(taskCount / STAGES);
  let before: (readonly FileId[])[] = [];
  for (let stage = 0; stage < STAGES; stage++) {
    const made: (readonly FileId[])[] = [];
    for (let index = 0; index < width; index++) {
      const taskId = workload.tasks.length + 1 as TaskId;
      const read = [...before[index] ?? [], ...before[(index + 7) % width] ?? []];
      const outputs = declareOutputs(workload, taskId);
      made.push(outputs.map(({ fileId }) => fileId));
      workload.tasks.push({
        taskId,
        template,
        environments: [],
        features: [],
        body: { kind: "command", command: "true" },
        inputs: read.map((fileId, at) => ({ mount: `in${at}`, fileId })),
        outputs,
        priority: 0,
        retries: 100,
        workerLosses: 100,
      });
    }
    before = made;
  }
  return workload;
}

function declareOutputs(workload: Workload, taskId: TaskId): TaskDefinition["outputs"] {
  const outputs: { mount: string; fileId: FileId }[] = [];
  for (let index = 0; index < (taskId % 3 === 0 ? 2 : 1); index++) {
    const fileId = workload.names.size + 1 as FileId;
    const name = `temp-${taskId}-${index}` as CacheName;
    declareTemp(workload, fileId, name);
    outputs.push({ mount: `out${index}`, fileId });
  }
  return outputs;
}
