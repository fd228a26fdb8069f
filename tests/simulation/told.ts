/** That facts are told once each, and in an order in which they can have happened. */

import type { Fact } from "../../manager/core/fact.ts";

type TryFact = Extract<Fact, { kind: "try_dispatched" | "try_started" | "try_returned" }>;
type InstanceFact = Extract<Fact, { kind: "library_instance" }>;

/** What an instance may be said to be after what it was said to be before. */
const INSTANCE_CHANGES: ReadonlyMap<InstanceFact["change"], readonly string[]> = new Map([
  ["starting", [""]],
  ["ready", ["starting"]],
  ["retiring", ["starting", "ready"]],
  ["stopped", ["starting", "ready", "retiring"]],
  ["start_failed", ["starting", "retiring"]],
  ["died", ["starting", "ready", "retiring"]],
]);

/** Hears the facts of one run. */
export class ToldCheck {
  readonly #files: Set<number> = new Set();
  /** Those that turned out to be others. */
  readonly #aliases: Set<number> = new Set();
  readonly #tasks: Map<number, "open" | "settled" | "recovering"> = new Map();
  readonly #tries: Map<number, { try: number; workerId: string; isStarted: boolean }> = new Map();
  /** `{task: its try that ended with its worker}` */
  readonly #left: Map<number, number> = new Map();
  readonly #workers: Set<string> = new Set();
  readonly #met: Set<string> = new Set();
  readonly #replicas: Set<string> = new Set();
  readonly #transfers: Map<number, string> = new Map();
  readonly #instances: Map<number, { change: string; workerId: string }> = new Map();

  /** Throws when a fact cannot follow those before it. */
  hear(facts: readonly Fact[]): void {
    for (const fact of facts) {
      const fault = this.#take(fact);
      if (fault === undefined) continue;
      const text = JSON.stringify(fact, (key, value) => HIDDEN.has(key) ? undefined : value);
      throw new Error(`It is told that ${text}, though ${fault}`);
    }
  }

  /** Throws when something is said to go on though the run is over. */
  end(): void {
    const left = {
      tries: this.#tries.size,
      workers: this.#workers.size,
      replicas: this.#replicas.size,
      transfers: [...this.#transfers.values()].filter((end) => end === "").length,
      instances: [...this.#instances.values()].filter(({ change }) => !isOver(change)).length,
    };
    const open = Object.entries(left).filter(([, count]) => count > 0);
    if (open.length > 0) throw new Error(`Of these no end was told: ${open.join("; ")}`);
  }

  #take(fact: Fact): string | undefined {
    switch (fact.kind) {
      case "file_declared":
        if (this.#files.has(fact.fileId)) return "it was declared";
        this.#files.add(fact.fileId);
        return undefined;
      case "file_bound":
      case "nondeterministic":
        return this.#files.has(fact.fileId) ? undefined : "there is no such file";
      case "file_merged":
        if (!this.#files.has(fact.into)) return "there is no such file to be";
        this.#aliases.add(fact.fileId);
        return this.#files.delete(fact.fileId) ? undefined : "there is no such file";
      case "file_forgotten":
        if (this.#aliases.delete(fact.fileId)) return undefined;
        return this.#files.delete(fact.fileId) ? undefined : "there is no such file";
      case "task_submitted":
      case "task_ended":
      case "recovery_started":
      case "recovery_ended":
        return this.#takeTask(fact);
      case "try_dispatched":
      case "try_started":
      case "try_returned":
      case "try_ended":
        return this.#takeTry(fact);
      case "worker_joined":
      case "worker_reconnected":
      case "worker_left":
        return this.#takeWorker(fact);
      case "replica_ready":
      case "replica_gone":
      case "replica_damaged":
        return this.#takeReplica(fact);
      case "transfer_started":
        // One that leaves hands over what it has made, and may be given what it waits for.
        if (!this.#met.has(fact.workerId)) return "its worker never came";
        if (this.#transfers.has(fact.transferId)) return "there was one of that number";
        this.#transfers.set(fact.transferId, "");
        return undefined;
      case "transfer_ended":
      case "transfer_called_off":
      case "transfer_failed": {
        const end = this.#transfers.get(fact.transferId);
        if (end !== "") return end === undefined ? "it never started" : `it was ${end}`;
        this.#transfers.set(fact.transferId, fact.kind);
        return undefined;
      }
      case "library_instance": {
        const { instanceId, change, workerId } = fact;
        const before = this.#instances.get(instanceId)?.change ?? "";
        this.#instances.set(instanceId, { change, workerId });
        return INSTANCE_CHANGES.get(change)?.includes(before) === true
          ? undefined
          : `it was ${before}`;
      }
      default:
        return undefined;
    }
  }

  #takeTask({ kind, taskId }: Extract<Fact, { kind: `${"task" | "recovery"}_${string}` }>) {
    const state = this.#tasks.get(taskId);
    const isEnd = kind === "task_ended" || kind === "recovery_ended";
    if (isEnd && this.#tries.has(taskId)) return "no end of its try was told";
    switch (kind) {
      case "task_submitted":
        this.#tasks.set(taskId, "open");
        return state === undefined ? undefined : "it was submitted";
      case "recovery_started":
        this.#tasks.set(taskId, "recovering");
        return state === "settled" ? undefined : `it is ${state}`;
      default:
        this.#tasks.set(taskId, "settled");
        if (kind === "task_ended") return state === "open" ? undefined : `it is ${state}`;
        return state === "recovering" ? undefined : `it is ${state}`;
    }
  }

  #takeTry(fact: TryFact | Extract<Fact, { kind: "try_ended" }>): string | undefined {
    const { taskId, try: number, workerId } = fact;
    const state = this.#tasks.get(taskId);
    const open = this.#tries.get(taskId);
    if (fact.kind === "try_dispatched") {
      this.#tries.set(taskId, { try: number, workerId, isStarted: false });
      if (!this.#workers.has(workerId)) return "its worker is not there";
      if (open !== undefined) return `no end of its try ${open.try} was told`;
      return state === "open" || state === "recovering" ? undefined : `it is ${state}`;
    }
    if (fact.kind === "try_ended" && this.#left.get(taskId) === number) {
      // Of those that were lost with their worker this is told as well, once.
      this.#left.delete(taskId);
      return fact.outcome === "worker_lost" ? undefined : "its worker has left";
    }
    if (open?.try !== number || open.workerId !== workerId) return "there is no such try";
    if (fact.kind === "try_started") {
      if (open.isStarted) return "it had started";
      open.isStarted = true;
      return undefined;
    }
    this.#tries.delete(taskId);
    return fact.kind === "try_returned" && open.isStarted ? "it had started" : undefined;
  }

  #takeWorker({ kind, workerId }: Extract<Fact, { kind: `worker_${string}` }>): string | undefined {
    const isThere = this.#workers.has(workerId);
    if (kind === "worker_reconnected") return isThere ? undefined : "it was not there";
    if (kind === "worker_joined") {
      this.#workers.add(workerId);
      this.#met.add(workerId);
      return isThere ? "it was there" : undefined;
    }
    this.#workers.delete(workerId);
    // Facts say that these end with it.
    for (const [taskId, attempt] of this.#tries) {
      if (attempt.workerId !== workerId) continue;
      this.#tries.delete(taskId);
      this.#left.set(taskId, attempt.try);
    }
    for (const [instanceId, instance] of this.#instances) {
      if (instance.workerId === workerId) {
        this.#instances.set(instanceId, { ...instance, change: "died" });
      }
    }
    return isThere ? undefined : "it was not there";
  }

  #takeReplica(
    { kind, fileId, workerId }: Extract<Fact, { kind: `replica_${string}` }>,
  ): string | undefined {
    if (!this.#files.has(fileId)) return "there is no such file";
    const key = `${fileId} ${workerId}`;
    const isThere = this.#replicas.has(key);
    if (kind === "replica_ready") this.#replicas.add(key);
    else if (kind === "replica_gone") this.#replicas.delete(key);
    return kind === "replica_ready" || isThere ? undefined : "it was not there";
  }
}

/** Parts of facts that say too much. */
const HIDDEN: ReadonlySet<string> = new Set(["definition", "result", "end", "bound", "outputs"]);

function isOver(change: string): boolean {
  return change === "stopped" || change === "start_failed" || change === "died";
}
