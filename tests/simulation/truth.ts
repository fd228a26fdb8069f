/**
 * What contents a run knows of: what every file must hold whoever makes it and however often, or,
 * where tasks make other bytes each time, what each of their tries has made.
 *
 * @module
 */

import type { TaskEnd } from "../../manager/core/instruction.ts";
import type { CacheName, FileId } from "../../shared/ids.ts";
import type { DispatchedTask } from "../../shared/protocol.ts";
import type { FileFacts, OutputMount } from "../../shared/task.ts";
import { digestOf, expectedDigests, outputDigest } from "./contents.ts";
import type { Workload } from "./workload.ts";

/** A file as a try finds it. */
export interface ReadFile extends FileFacts {
  readonly isDamaged?: boolean;
}

/** The contents of one run. */
export class Truth {
  readonly #workload: Workload;
  readonly #isNondeterministic: boolean;
  readonly #expected: Map<FileId, string>;
  readonly #fileIds: Map<CacheName, FileId> = new Map();
  readonly #temps: Set<FileId>;
  /** `{NAME#GENERATION: digest}` */
  readonly #makings: Map<string, string> = new Map();

  constructor(workload: Workload, { isNondeterministic }: { isNondeterministic: boolean }) {
    this.#workload = workload;
    this.#isNondeterministic = isNondeterministic;
    this.#expected = expectedDigests(workload);
    for (const [fileId, name] of workload.names) this.#fileIds.set(name, fileId);
    this.#temps = new Set(workload.temps);
  }

  /** What a file that no task makes holds. */
  declared(name: CacheName): string {
    const fileId = this.#fileIds.get(name);
    return (fileId && this.#workload.declared.get(fileId)) ?? "";
  }

  /** What a try writes to an output, from what it has read. */
  make(
    task: DispatchedTask,
    { mount, name, generation }: OutputMount,
    inputDigests: readonly string[],
  ): string {
    const same = outputDigest({ taskId: task.taskId, mount, inputDigests });
    const digest = this.#isNondeterministic ? digestOf(`${same} by try ${task.try}`) : same;
    const key = `${name}#${generation}`;
    this.#makings.set(key, digest);
    return digest;
  }

  /** Throws unless a try reads whole files, each of the making that it was promised. */
  checkRead(task: DispatchedTask, files: readonly (ReadFile | undefined)[]): void {
    const makings = new Map<string, number>();
    for (const [index, input] of task.inputs.entries()) {
      const file = files[index];
      const what = `Task ${task.taskId} finds ${input.name}`;
      if (file?.generation !== input.generation) {
        throw new Error(`${what} of generation ${file?.generation}, not ${input.generation}`);
      }
      if (file.isDamaged === true) throw new Error(`${what} damaged`);
      const named = /^file-sha256-([0-9a-f]{64})/.exec(input.name)?.[1] ?? file.digest;
      if (named !== file.digest) throw new Error(`${what} with bytes ${file.digest}`);
      const made = this.#makings.get(`${input.name}#${input.generation}`);
      if (made !== undefined && file.digest !== made) {
        throw new Error(`${what} with bytes ${file.digest}, not ${made}`);
      }
      const fileId = this.#fileIds.get(input.name);
      const producer = /^temp-(\d+)-/.exec(input.name)?.[1];
      if (producer === undefined || fileId === undefined || !this.#temps.has(fileId)) continue;
      const other = makings.get(producer) ?? file.generation;
      if (other !== file.generation) {
        throw new Error(`${what} of run ${file.generation} of its task beside one of run ${other}`);
      }
      makings.set(producer, file.generation);
    }
  }

  /** Throws unless a task tells of what it must have made, as it ended. */
  checkEnd({ taskId, outcome, result }: TaskEnd): void {
    for (const { fileId, only } of this.#workload.tasks[taskId - 1]?.outputs ?? []) {
      const name = this.#workload.names.get(fileId);
      const output = result?.outputs.find((facts) => facts.name === name);
      if (outcome === "success" && only === "failure" && output !== undefined) {
        throw new Error(`Task ${taskId} succeeded with ${name}, which is of its failure`);
      }
      const isMeant = outcome === (only === "failure" ? "exit" : "success");
      // What a failure left may be lost with its worker while its user decides what is to be done.
      if (!isMeant || only === "failure" && output === undefined) continue;
      const wanted = this.#isNondeterministic
        ? this.#makings.get(`${name}#${output?.generation}`)
        : this.#expected.get(fileId);
      if (output !== undefined && output.digest === wanted) continue;
      throw new Error(`Task ${taskId} made ${output?.digest} where it should have made ${wanted}`);
    }
  }
}

/** The facts of a file and nothing else. */
export function bare({ name, generation, sizeBytes, digest, isDirectory }: FileFacts): FileFacts {
  return { name, generation, sizeBytes, digest, isDirectory };
}
