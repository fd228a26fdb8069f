/**
 * Lines of the transactions log about instances of libraries, which are tasks of TaskVine's that
 * nobody submitted: they are never READY.
 *
 * @module
 */

import { NO_RESOURCES, type Resources } from "../../shared/resources.ts";
import type { RecordOf } from "./record.ts";
import type { WriteTransaction } from "./transactions_log.ts";
import { commitJson, lostJson, workerName } from "./vine_format.ts";

/** Added to the number of an instance, which may be that of a task as well. */
const INSTANCE_BASE: number = 2 ** 40;

interface Instance {
  readonly workerId: string;
  readonly startedAtMs: number;
}

/** The instances of one run. */
export class TransactionLibraries {
  readonly #write: WriteTransaction;
  readonly #resources: Map<string, Resources> = new Map();
  readonly #instances: Map<number, Instance> = new Map();

  constructor(write: WriteTransaction) {
    this.#write = write;
  }

  /** A library is declared. */
  declare({ name, resources }: RecordOf<"library_declared">): void {
    this.#resources.set(name, resources);
  }

  /** Something became of an instance. */
  change(atMs: number, record: RecordOf<"library_instance">): void {
    const { library, instanceId, workerId, change } = record;
    const id = INSTANCE_BASE + instanceId;
    const worker = workerName(workerId);
    if (change === "starting") {
      this.#instances.set(instanceId, { workerId, startedAtMs: atMs });
      const given = commitJson(atMs, this.#resources.get(library) ?? NO_RESOURCES);
      this.#write(atMs, `TASK ${id} RUNNING ${worker}  FIRST_RESOURCES ${given}`);
      return this.#write(atMs, `LIBRARY ${id} SENT ${worker}`);
    }
    if (change === "ready") return this.#write(atMs, `LIBRARY ${id} STARTED ${worker}`);
    if (change === "retiring") return;
    if (change !== "stopped") this.#write(atMs, `LIBRARY ${id} FAILURE ${worker}`);
    this.#retrieve(atMs, instanceId);
  }

  /** A worker left, with all of its instances. */
  leave(atMs: number, workerId: string): void {
    for (const [instanceId, instance] of this.#instances) {
      if (instance.workerId === workerId) this.#retrieve(atMs, instanceId);
    }
  }

  #retrieve(atMs: number, instanceId: number): void {
    const instance = this.#instances.get(instanceId);
    if (instance === undefined) return;
    this.#instances.delete(instanceId);
    const measured = lostJson(instance.startedAtMs);
    this.#write(atMs, `TASK ${INSTANCE_BASE + instanceId} RETRIEVED UNKNOWN  -1  {} ${measured}`);
  }
}
