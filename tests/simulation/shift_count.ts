/** Counts temps that move to emptier disks, and those that come back. */

import type { Shift } from "../../manager/core/shift.ts";
import type { WorkerRecord } from "../../manager/core/state.ts";

/** What was seen of the moves so far. */
export class ShiftCount {
  begun = 0;
  back = 0;
  #moving: ReadonlySet<Shift> = new Set();
  /** `NAME.GENERATION to WORKER` of all from which one was moved. */
  readonly #left = new Set<string>();

  /** Looks at the moves under way after a step. */
  note(shifts: ReadonlyMap<WorkerRecord, Shift>): void {
    if (shifts.size === 0 && this.#moving.size === 0) return;
    for (const [from, shift] of shifts) {
      if (this.#moving.has(shift)) continue;
      const { file, to } = shift;
      const making = `${file.bound?.name}.${file.generation}`;
      this.begun += 1;
      if (this.#left.has(`${making} to ${to.workerId}`)) this.back += 1;
      this.#left.add(`${making} to ${from.workerId}`);
    }
    this.#moving = new Set(shifts.values());
  }
}
