/**
 * Processes that lost their parents and were adopted by the worker: whose they are, and their ends.
 * It finds nothing where orphans cannot be adopted.
 *
 * @module
 */

import { type ChildUse, isOwnChild } from "../shared/runtime/spawn.ts";
import type { Subreaper } from "../shared/runtime/subreaper.ts";
import { type ProcessEntry, readProcess, readVariable } from "./process_table.ts";
import { TRY_MARK_VARIABLE, WORKER_MARK_VARIABLE } from "./task_environment.ts";

/** The part of a running try that says what is its own. */
export interface Owner {
  /** In the environment of all it started. */
  readonly mark: string;
  readonly hasEnded: boolean;
  /** Told what an adopted process used that was this try's alone. */
  readonly reaped: (use: ChildUse) => void;
}

/** Whom an adopted process belongs to: all these tries must have ended before it is killed. */
type Owners<Try> = readonly Try[] | "worker";

/** What is needed to tell. */
export interface AdoptionOptions<Try extends Owner> {
  readonly subreaper: Subreaper | undefined;
  /** The worker's mark. */
  readonly mark: string;
  /** {group id: its try}; one that has ended stays until nothing of it is left. */
  readonly running: ReadonlyMap<number, Try>;
}

/** After this long an ended child that nobody waited for is waited for here. */
const UNCLAIMED_MS = 1_000;

/** All that one worker has adopted. */
export class Adoption<Try extends Owner> {
  readonly #options: AdoptionOptions<Try>;
  /** {process id: owners} of adopted processes seen alive at the last look. */
  #adopted: Map<number, Owners<Try>> = new Map();
  /** {process id: when it was first seen ended} of children that are no task's. */
  #unclaimed: Map<number, number> = new Map();
  #nextUnclaimedAtMs = 0;
  /** {try: {process id: its start}} of what was found below a try before it was adopted. */
  readonly #members: Map<Try, ReadonlyMap<number, number>> = new Map();

  constructor(options: AdoptionOptions<Try>) {
    this.#options = options;
  }

  /** Remembers who is a try's, for when these lose their parents. */
  know(owner: Try, members: readonly ProcessEntry[]): void {
    const starts = members.map(({ processId, startTicks }) => [processId, startTicks] as const);
    this.#members.set(owner, new Map(starts));
  }

  /** Nothing is left of the try. */
  forget(owner: Try): void {
    this.#members.delete(owner);
  }

  /** Adopted processes that are this running try's, and nobody else's. */
  processesOf(wanted: Try): number[] {
    this.#look();
    const found: number[] = [];
    for (const [processId, owners] of this.#adopted) {
      if (owners !== "worker" && owners.length === 1 && owners[0] === wanted) found.push(processId);
    }
    return found;
  }

  /** Adopted processes that have to go now that this try has ended. */
  leftoversOf(ended: Try): number[] {
    this.#look();
    const leftovers: number[] = [];
    for (const [processId, owners] of this.#adopted) {
      if (owners === "worker" || !owners.every((owner) => owner.hasEnded)) continue;
      if (owners.length === 0 || owners.includes(ended)) leftovers.push(processId);
    }
    return leftovers;
  }

  /** Adopted processes that nobody is left to own: none of the worker's own, nor of a running try. */
  strays(): number[] {
    this.#look();
    return [...this.#adopted].flatMap(([processId, owners]) => {
      return owners !== "worker" && owners.every((owner) => owner.hasEnded) ? processId : [];
    });
  }

  /** Waits for children that have ended and that nobody waited for since the last look. */
  reap(): void {
    this.#look();
  }

  /** Finds who was adopted since the last look, and waits for those that have ended. */
  #look(): void {
    const { subreaper } = this.#options;
    if (subreaper === undefined) return;
    const adopted = new Map<number, Owners<Try>>();
    for (const processId of subreaper.childIds()) {
      if (isOwnChild(processId)) continue;
      const owners = this.#adopted.get(processId) ?? this.#findOwners(processId);
      const use = owners === "worker" ? undefined : subreaper.reap(processId);
      if (use === undefined) adopted.set(processId, owners);
      else if (owners.length === 1) (owners[0] as Try).reaped(use);
    }
    this.#adopted = adopted;
    this.#reapUnclaimed(subreaper);
  }

  /** Whoever started a child waits for it at once, so the ones that stay ended were adopted. */
  #reapUnclaimed(subreaper: Subreaper): void {
    const nowMs = performance.now();
    if (nowMs < this.#nextUnclaimedAtMs) return;
    this.#nextUnclaimedAtMs = nowMs + UNCLAIMED_MS;
    const unclaimed = new Map<number, number>();
    for (const [processId, owners] of this.#adopted) {
      if (owners !== "worker" || !readProcess(processId)?.isZombie) continue;
      const sinceMs = this.#unclaimed.get(processId) ?? nowMs;
      if (nowMs - sinceMs < UNCLAIMED_MS || subreaper.reap(processId) === undefined) {
        unclaimed.set(processId, sinceMs);
      }
    }
    this.#unclaimed = unclaimed;
  }

  #findOwners(processId: number): Owners<Try> {
    const { running, mark } = this.#options;
    const entry = readProcess(processId);
    if (entry === undefined) return [];
    const byGroup = running.get(entry.sessionId) ?? running.get(entry.groupId);
    if (byGroup !== undefined) return [byGroup];
    for (const [owner, starts] of this.#members) {
      if (starts.get(processId) === entry.startTicks) return [owner];
    }
    // Nothing more is told of a process that has ended, so it may be a child of another's.
    if (entry.isZombie) return "worker";
    const tryMark = readVariable(processId, TRY_MARK_VARIABLE);
    if (tryMark?.endsWith(`.${mark}`)) {
      return [...running.values()].filter((owner) => owner.mark === tryMark);
    }
    // A child of the worker that is no task: a library instance, an unpacking process.
    if (readVariable(processId, WORKER_MARK_VARIABLE) === mark) return "worker";
    if (entry.sessionId === readProcess(process.pid)?.sessionId) return "worker";
    return [...running.values()];
  }
}
