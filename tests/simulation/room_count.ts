/** Counts how often small disks had no room, and what was done about it. */

import type { WorkerReport } from "../../manager/core/event.ts";

/** What workers said of it so far. */
export class RoomCount {
  asked = 0;
  givenBack = 0;
  refused = 0;
  stopped = 0;

  /** Hears what a worker tells its manager. */
  note(message: WorkerReport): void {
    if (message.kind === "room_wanted") this.asked += 1;
    const isStopped = message.kind === "result" && message.result.outcome === "disk_full" &&
      message.result.message.startsWith("The try was stopped");
    if (isStopped) this.stopped += 1;
    if (message.kind === "recalled" && message.isCrowded === true) this.givenBack += 1;
    if (message.kind === "transfer_failed" && message.isDiskFull === true) this.refused += 1;
  }
}
