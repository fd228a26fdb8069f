/** Simulated contents: what a task writes is a function of the task and of what it reads. */

import type { TaskDefinition } from "../../manager/core/event.ts";
import type { FileId } from "../../shared/ids.ts";

/** A short text that stands for the SHA-256 of contents. */
export function digestOf(text: string): string {
  // FNV-1a, 32 bits, twice with different bases: enough to tell contents apart in a simulation.
  let low = 0x811c9dc5;
  let high = 0x050c5d1f;
  for (let index = 0; index < text.length; index++) {
    low = Math.imul(low ^ text.charCodeAt(index), 0x01000193) >>> 0;
    high = Math.imul(high ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return low.toString(16).padStart(8, "0") + high.toString(16).padStart(8, "0");
}

/** Digest of the output `mount` of a task that read `inputDigests`, in the order of its inputs. */
export function outputDigest(
  output: { taskId: number; mount: string; inputDigests: readonly string[] },
): string {
  return digestOf(`${output.taskId}/${output.mount}/${output.inputDigests.join(",")}`);
}

/** What every file of a workload must contain, whoever makes it and however often. */
export function expectedDigests(
  declared: ReadonlyMap<FileId, string>,
  tasks: readonly TaskDefinition[],
): Map<FileId, string> {
  const digests = new Map(declared);
  for (const task of tasks) {
    const inputDigests = task.inputs.map(({ fileId }) => digests.get(fileId) ?? "unknown");
    for (const { mount, fileId } of task.outputs) {
      digests.set(fileId, outputDigest({ taskId: task.taskId, mount, inputDigests }));
    }
  }
  return digests;
}
