/**
 * What calls use that state memory or disk of their own: each is looked at as a try of a command is,
 * and ends alone when it is beyond what it states.
 *
 * In a library that forks, the process of a call and what that starts are the call's; of the pages
 * that it shares with its instance only what it has written counts. In a direct one a call cannot be
 * told from the process of its slot, whose memory counts as a whole, the library's own included.
 *
 * @module
 */

import type { LibraryMode } from "../shared/library.ts";
import type { Exceeded, TaskShape, TryId, Usage } from "../shared/task.ts";
import type { DiskUsage } from "./disk_usage.ts";
import type { TreeLook } from "./process.ts";
import { type ProcessEntry, readPrivateBytes, readProcess } from "./process_table.ts";
import type { UsageMeter, WatchedUsage } from "./usage_meter.ts";

/** What a call is looked at with. */
export interface MeteredCallOptions {
  readonly id: TryId;
  readonly shape: TaskShape;
  readonly mode: LibraryMode;
  readonly meter: Pick<UsageMeter, "watch">;
  /** Finds the living processes below some. */
  readonly walk: (processIds: readonly number[]) => Promise<ProcessEntry[]>;
  /** Finds what its directory takes. */
  readonly measure: () => Promise<DiskUsage>;
  /** Told once it is beyond a limit of its own. */
  readonly exceeded: (exceeded: Exceeded) => void;
}

/** True of calls that are looked at. */
export function isMetered({ resources: { memoryBytes, diskBytes } }: TaskShape): boolean {
  return memoryBytes > 0 || diskBytes > 0;
}

/** A call that is looked at. */
export class MeteredCall {
  readonly #options: MeteredCallOptions;
  #usage: WatchedUsage | undefined;
  #processId = 0;
  /** Processor time of the process before the call. */
  #cpuMsBefore = 0;

  constructor(options: MeteredCallOptions) {
    this.#options = options;
  }

  /** Memory that it states. */
  get memoryBytes(): number {
    return this.#options.shape.resources.memoryBytes;
  }

  /** It runs in that process from now on, or still. */
  started(processId: number): void {
    if (this.#usage !== undefined && this.#processId === processId) return;
    const { id, shape, mode, meter, exceeded } = this.#options;
    this.#usage?.[Symbol.dispose]();
    this.#processId = processId;
    this.#cpuMsBefore = mode === "direct" ? readProcess(processId)?.cpuMs ?? 0 : 0;
    this.#usage = meter.watch({
      id: { call: id },
      shape,
      process: {
        look: () => this.#look(processId),
        // Whoever is told stops the call.
        kill: () => {},
      },
      sandbox: { measure: this.#options.measure },
      exceeded,
    });
  }

  /** It has ended, after so long: what it used. Undefined of one that never started. */
  ended(ranMs: number): Usage | undefined {
    const usage = this.#usage;
    if (usage === undefined) return undefined;
    usage[Symbol.dispose]();
    const isDirect = this.#options.mode === "direct";
    const cpuMs = isDirect ? readProcess(this.#processId)?.cpuMs ?? 0 : 0;
    const use = { cpuMs, memoryBytes: 0 };
    const { used } = usage.total({ use }, { ranMs, diskBytes: 0 });
    const ownMs = Math.max(0, used.cpuMs - this.#cpuMsBefore);
    return { ...used, cpuMs: ownMs, cores: ranMs > 0 ? ownMs / ranMs : 0 };
  }

  async #look(processId: number): Promise<TreeLook> {
    const { mode, walk } = this.#options;
    const members = await walk([processId]);
    if (mode === "direct") return { members };
    let memoryBytes = 0;
    for (const { processId: id } of members) memoryBytes += await readPrivateBytes(id);
    return { members, memoryBytes };
  }
}
