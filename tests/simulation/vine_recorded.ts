/** That TaskVine's log of a run has every task pass its states in order, and every worker go. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { RunRecord } from "../../manager/monitoring/record.ts";
import { TransactionsLog } from "../../manager/monitoring/transactions_log.ts";

/** States of TaskVine's that may come after each; a task that is made again is ready anew. */
const FOLLOWERS: ReadonlyMap<string, readonly string[]> = new Map([
  ["", ["READY"]],
  ["READY", ["RUNNING", "DONE"]],
  ["RUNNING", ["WAITING_RETRIEVAL", "RETRIEVED", "READY"]],
  ["WAITING_RETRIEVAL", ["RETRIEVED", "READY"]],
  ["RETRIEVED", ["READY", "DONE"]],
  ["DONE", ["READY"]],
]);

/** The log of one run, in a folder of its own that goes with it. */
export class VineCheck {
  readonly #folder: string = mkdtempSync(join(tmpdir(), "tendril-simulated-"));
  readonly #path: string = join(this.#folder, "transactions");
  readonly #log: TransactionsLog = new TransactionsLog({ path: this.#path });

  apply(atMs: number, record: RunRecord): void {
    this.#log.apply(atMs, record);
  }

  /** Throws when the log says what cannot be; `taskCount` tasks have ended. */
  end(taskCount: number): void {
    this.#log.close();
    const lines = readFileSync(this.#path, "utf8").split("\n");
    rmSync(this.#folder, { recursive: true });
    const states = new Map<string, string>();
    const connected = new Set<string>();
    for (const line of lines) {
      const [, , what = "", id = "", state = ""] = line.split(" ");
      // Instances of libraries are tasks of TaskVine's, of large numbers.
      if (what === "TASK" && Number(id) <= taskCount) {
        const before = states.get(id) ?? "";
        if (!FOLLOWERS.get(before)?.includes(state)) {
          throw new Error(`TaskVine's log: ${state} follows ${before} in "${line}"`);
        }
        states.set(id, state);
      } else if (what === "WORKER" && state === "CONNECTION") {
        if (connected.has(id)) throw new Error(`TaskVine's log: there twice: "${line}"`);
        connected.add(id);
      } else if (what === "WORKER" && state === "DISCONNECTION") {
        if (!connected.delete(id)) throw new Error(`TaskVine's log: gone twice: "${line}"`);
      }
    }
    const done = [...states.values()].filter((state) => state === "DONE").length;
    if (done === taskCount && states.size === taskCount && connected.size === 0) return;
    const found = `${done} tasks of ${states.size} are done, ${connected.size} workers are there`;
    throw new Error(`TaskVine's log: ${found}, and it should be ${taskCount} tasks`);
  }
}
