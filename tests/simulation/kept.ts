/**
 * Users have temps kept while the workflow runs, let go of some of them, and read what was kept by
 * the name of its contents: later tasks do, and they themselves.
 *
 * @module
 */

import type { ManagerEvent } from "../../manager/core/event.ts";
import type { ManagerInstruction, TaskEnd } from "../../manager/core/instruction.ts";
import type { CacheName, FileId, TaskId } from "../../shared/ids.ts";
import { nextRandom, type RandomState } from "../../shared/random.ts";
import type { FileFacts } from "../../shared/task.ts";
import type { Clock } from "./clock.ts";
import type { Workload } from "./workload.ts";

/** Numbers of files, tasks and requests of these users are above it. */
const NUMBERS_FROM = 500_000;

/** Every so many of the temps are wanted. */
const EACH = 3;

/** What these users need of their world. */
interface KeptWorld {
  readonly clock: Clock;
  readonly random: RandomState;
  feed(events: readonly ManagerEvent[]): void;
}

/** Users who keep files. */
export class KeptFiles {
  readonly #world: KeptWorld;
  readonly #workload: Workload;
  /** Wishes without an answer. */
  readonly #wishes: Map<number, FileId> = new Map();
  /** Tasks without an end, by the file that they read. */
  readonly #tasks: Map<TaskId, FileId> = new Map();
  readonly #files: Map<FileId, CacheName> = new Map();
  readonly counts: { kept: number; refused: number; read: number; missing: number } = {
    kept: 0,
    refused: 0,
    read: 0,
    missing: 0,
  };
  #planned = 0;
  #lastNumber = NUMBERS_FROM;

  constructor(world: KeptWorld, workload: Workload) {
    this.#world = world;
    this.#workload = workload;
  }

  /** True once all has been answered. */
  get isOver(): boolean {
    return this.#planned + this.#wishes.size + this.#tasks.size === 0;
  }

  /** What they have declared, with its names. */
  get files(): ReadonlyMap<FileId, CacheName> {
    return this.#files;
  }

  /** Plans what they do. */
  start(): void {
    for (const [index, fileId] of this.#workload.temps.entries()) {
      if (index % EACH !== 0) continue;
      this.#later(500 + this.#random() * 8_000, () => {
        const requestId = this.#next();
        this.#wishes.set(requestId, fileId);
        const level = index % 2 === 0 ? "worker" : "forever";
        return [{ kind: "file_keep_wanted", fileId, requestId, level }];
      });
    }
  }

  /** A wish is answered. */
  answer({ requestId, file }: Extract<ManagerInstruction, { kind: "file_kept" }>): void {
    const fileId = this.#wishes.get(requestId);
    if (fileId === undefined) throw new Error(`Wish ${requestId} is answered twice`);
    this.#wishes.delete(requestId);
    if (file === undefined) {
      this.counts.refused += 1;
      return;
    }
    this.counts.kept += 1;
    if (requestId % 2 === 0) this.#later(100, () => [{ kind: "file_undeclared", fileId }]);
    this.#later(this.#random() * 8_000, () => this.#read(file));
  }

  /** True of a task of theirs, which has ended. */
  settle({ taskId, outcome, message }: TaskEnd): boolean {
    const fileId = this.#tasks.get(taskId);
    if (fileId === undefined) return false;
    this.#tasks.delete(taskId);
    if (outcome === "success") this.counts.read += 1;
    else if (outcome === "input_missing") this.counts.missing += 1;
    else {throw new Error(
        `Task ${taskId}, which reads a kept file, ended as ${outcome}: ${message}`,
      );}
    return true;
  }

  #read({ name, sizeBytes, digest, isDirectory }: FileFacts): ManagerEvent[] {
    const [like] = this.#workload.tasks.filter(({ body }) => body.kind === "command");
    if (like === undefined) return [];
    const fileId = this.#next() as FileId;
    const taskId = this.#next() as TaskId;
    this.#files.set(fileId, name);
    this.#tasks.set(taskId, fileId);
    const bound = { name, sizeBytes, digest, isDirectory, isExecutable: false };
    return [
      {
        kind: "file_declared",
        fileId,
        origin: { kind: "kept" },
        level: "worker",
        peerTransfer: true,
        bound,
      },
      {
        kind: "task_submitted",
        task: {
          ...like,
          taskId,
          environments: [],
          features: [],
          inputs: [{ mount: "kept", fileId }],
          outputs: [],
          retries: 100,
          workerLosses: 100,
        },
      },
    ];
  }

  #later(delayMs: number, events: () => ManagerEvent[]): void {
    this.#planned += 1;
    this.#world.clock.after(delayMs, () => {
      this.#planned -= 1;
      this.#world.feed(events());
    });
  }

  #next(): number {
    this.#lastNumber += 1;
    return this.#lastNumber;
  }

  #random(): number {
    return nextRandom(this.#world.random);
  }
}
