/** Simulated contents: what a task writes is a function of the task and of what it reads. */

import type { TaskDefinition } from "../../manager/core/event.ts";
import type { FileId } from "../../shared/ids.ts";

/** A text that stands for the SHA-256 of contents. */
export function digestOf(text: string): string {
  // FNV-1a, 32 bits, twice with different bases: enough to tell contents apart in a simulation.
  let low = 0x811c9dc5;
  let high = 0x050c5d1f;
  for (let index = 0; index < text.length; index++) {
    low = Math.imul(low ^ text.charCodeAt(index), 0x01000193) >>> 0;
    high = Math.imul(high ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  const text64 = low.toString(16).padStart(8, "0") + high.toString(16).padStart(8, "0");
  // As long as one is, as names are made of it.
  return text64.repeat(4);
}

/** Digest of the output `mount` of a task that read `inputDigests`, in the order of its inputs. */
export function outputDigest(
  output: { taskId: number; mount: string; inputDigests: readonly string[] },
): string {
  return digestOf(`${output.taskId}/${output.mount}/${output.inputDigests.join(",")}`);
}

/** A mini task, in the order of its inputs. */
export interface MiniTask {
  readonly fileId: FileId;
  readonly name: string;
  readonly inputs: readonly FileId[];
}

/** Digest of what the mini task `name` makes of inputs with `inputDigests`. */
export function miniDigest(name: string, inputDigests: readonly string[]): string {
  return outputDigest({ taskId: 0, mount: name, inputDigests });
}

/** What every file of a workload must contain, whoever makes it and however often. */
export function expectedDigests({ declared, tasks, minis }: {
  readonly declared: ReadonlyMap<FileId, string>;
  readonly tasks: readonly TaskDefinition[];
  readonly minis: readonly MiniTask[];
}): Map<FileId, string> {
  const digests = new Map(declared);
  const makeMinis = (): void => {
    for (const { fileId, name, inputs } of minis) {
      const known = inputs.map((input) => digests.get(input));
      if (known.includes(undefined)) continue;
      digests.set(fileId, miniDigest(name, known.map((digest) => digest ?? "")));
    }
  };
  for (const task of tasks) {
    makeMinis();
    const inputDigests = task.inputs.map(({ fileId }) => digests.get(fileId) ?? "unknown");
    for (const { mount, fileId } of task.outputs) {
      digests.set(fileId, outputDigest({ taskId: task.taskId, mount, inputDigests }));
    }
  }
  return digests;
}
