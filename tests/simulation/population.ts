/** The hosts of a simulated cluster: those it begins with, and those that come for others. */

import type { WorkerId } from "../../shared/ids.ts";
import { nextRandomBelow } from "../../shared/random.ts";
import type { Scenario } from "./scenario.ts";
import { isKeeper, KEEPER, SimWorker } from "./sim_worker.ts";
import type { World } from "./world.ts";

/** All workers of one run. */
export class Population {
  readonly workers: Map<WorkerId, SimWorker> = new Map();
  readonly #world: World;
  readonly #scenario: Scenario;
  #count = 0;
  #workerCount = 0;

  constructor(world: World, scenario: Scenario) {
    this.#world = world;
    this.#scenario = scenario;
  }

  /** One that runs tasks. */
  addWorker(): void {
    const { workerCores = 2 + nextRandomBelow(this.#world.random, 3) } = this.#scenario;
    this.#workerCount += 1;
    this.#start(`worker-${++this.#count}`, workerCores);
  }

  /** One that only keeps copies. */
  addKeeper(): void {
    this.#start(`${KEEPER}${++this.#count}`, 0.5);
  }

  /** Kills a worker for good, with all that it holds. */
  killOne(): SimWorker | undefined {
    const alive = [...this.workers.values()].filter((worker) => worker.isAlive);
    const worker = alive[nextRandomBelow(this.#world.random, alive.length)];
    worker?.crash();
    return worker;
  }

  /** Another one comes for one that is gone for good. */
  addInstead(worker: SimWorker): void {
    if (isKeeper(worker)) this.addKeeper();
    else this.addWorker();
  }

  /** True when no process is left. */
  isGone(): boolean {
    return [...this.workers.values()].every((worker) => !worker.isAlive);
  }

  #start(name: string, cores: number): void {
    const { diskBytes: wanted = 2 ** 40, memoryBytes = 2 ** 34, wallMs = 0 } = this.#scenario;
    const { hostCount = 0, isVaried = false } = this.#scenario;
    const workerId = name as WorkerId;
    const sizes = typeof wanted === "number" ? [wanted] : wanted;
    const diskBytes = sizes[this.#count % sizes.length] ?? 2 ** 40;
    const worker = new SimWorker(this.#world, {
      workerId,
      host: hostCount === 0 ? name : `host-${this.#count % hostCount}`,
      cores,
      diskBytes,
      memoryBytes,
      wallMs,
      ...(isVaried ? variedBy(this.#workerCount) : {}),
    });
    this.workers.set(workerId, worker);
    worker.start();
  }
}

/** Every second one has a feature, and more of a resource than the others. */
function variedBy(number: number) {
  const isRich = number % 2 === 0;
  return { features: isRich ? ["rich"] : [], custom: { license: isRich ? 2 : 1 } };
}
