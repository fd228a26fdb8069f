/**
 * Looks at the processes of running tasks, a young one's soon and an old one's seldom, and each again
 * before it could reach what it may have in memory.
 *
 * @module
 */

import { type LookEnd, LookSchedule } from "./look_schedule.ts";
import { OomKills } from "./oom_kills.ts";
import type { TaskProcess } from "./process.ts";
import { type ProcessEntry, readProportionalBytes } from "./process_table.ts";
import type { TreeUse, UsageRecord } from "./usage_record.ts";

/** What to look at. */
export interface TreeWatch {
  readonly process: Pick<TaskProcess, "look">;
  readonly record: UsageRecord;
  /** Of memory; `Infinity` is none. */
  readonly limitBytes: number;
  /** Told what was found. */
  readonly saw: (use: TreeUse) => void;
}

/** A tree that is being looked at. */
export interface WatchedTree extends Disposable {
  /**
   * True when the kernel has lately ended something because there was no memory left, and this tree
   * had more in memory than any other, which is what the kernel goes by.
   */
  isOomVictim(): boolean;
}

/** Looks are no closer to each other, and no further apart but for what they cost. */
const PAUSE_MS = { shortest: 10, longest: 1_000 } as const;

/** A tree is first looked at when it is so old, and then each time that it is three times as old. */
const YOUNG_MS = 30;

/**
 * As fast as memory is filled, in pages of 2 MB by one core: 10 GB/s on a machine of 2025, which
 * does 2.5 GB/s in pages of 4 KiB.
 */
const FILLED_BYTES_PER_MS = 8e6;

/** What several processes share is counted once where they have so much together. */
const SHARING_BYTES: number = 32 * 1024 * 1024;

/** Telling apart what is shared takes so much of a core at most, and nothing of the control loop. */
const SHARING_SHARE_MAX = { soon: 0.5, later: 0.1 } as const;

/** Processes whose page tables are walked at a time: each has a thread of its own then. */
const SHARING_BATCH = 8;

/** How much dearer than before a look may be found to be. */
const COST_GROWTH = 1.1;

const SCHEDULE = { tickMs: PAUSE_MS.shortest, shareMax: 0.03, concurrencyMax: 256 } as const;

interface Watched {
  readonly watch: TreeWatch;
  readonly startAtMs: number;
  memoryBytes: number;
  readonly sharing: Sharing;
}

/** What is known of pages that several processes of a tree have. */
interface Sharing {
  /** When they were told apart last: all that the processes had, and that with each page once. */
  sumBytes: number;
  memoryBytes: number;
  /** The same now, as far as can be said without telling them apart. */
  estimateBytes: number;
  /** When they may be told apart again: because of a limit, and else. */
  soonAtMs: number;
  laterAtMs: number;
}

/** Owner of the looks. */
export class TreeMeter {
  readonly #capacityBytes: number;
  readonly #schedule: LookSchedule = new LookSchedule(SCHEDULE);
  readonly #oomKills: OomKills;
  readonly #watched: Set<Watched> = new Set();
  /** What the watched trees had in memory at their last looks. */
  #totalBytes = 0;
  /** Of a process, in a look. */
  #processCostMs = Infinity;
  /** One walk through page tables at a time, as they take the file threads of the process. */
  #sharing: Promise<unknown> = Promise.resolve();
  /** Trees that wait for that, and the one that has it. */
  #sharingCount = 0;

  /** `capacityBytes` is the memory of the worker; 0 is not known. */
  constructor(
    { capacityBytes, oomKills = new OomKills() }: {
      readonly capacityBytes: number;
      readonly oomKills?: OomKills;
    },
  ) {
    this.#capacityBytes = capacityBytes > 0 ? capacityBytes : Infinity;
    this.#oomKills = oomKills;
  }

  /** Looks at a tree from time to time until this is disposed. */
  watch(watch: TreeWatch): WatchedTree {
    const watched: Watched = {
      watch,
      startAtMs: performance.now(),
      memoryBytes: 0,
      sharing: newSharing(),
    };
    this.#watched.add(watched);
    const firstMs = Math.min(YOUNG_MS, this.#safeMs(watched));
    const scheduled = this.#schedule.add(firstMs, () => this.#look(watched));
    return {
      isOomVictim: () => {
        if (watched.memoryBytes === 0 || !this.#oomKills.hasRisen()) return false;
        for (const other of this.#watched) {
          if (other.memoryBytes > watched.memoryBytes) return false;
        }
        return true;
      },
      [Symbol.dispose]: () => {
        scheduled[Symbol.dispose]();
        this.#watched.delete(watched);
        this.#totalBytes -= watched.memoryBytes;
      },
    };
  }

  /** Looks no more. */
  close(): void {
    this.#schedule.close();
  }

  async #look(watched: Watched): Promise<LookEnd> {
    const { process, record, saw } = watched.watch;
    const startMs = performance.now();
    this.#oomKills.refresh();
    const { members, memoryBytes } = await process.look();
    const costMs = this.#learnCost(performance.now() - startMs, members.length);
    const counted = memoryBytes ?? await this.#countMemory(watched, members);
    if (this.#watched.has(watched)) {
      this.#totalBytes += counted - watched.memoryBytes;
      watched.memoryBytes = counted;
      const cpuMs = members.reduce((sum, member) => sum + member.cpuMs, 0);
      const fileBytes = members.reduce((most, member) => Math.max(most, member.fileBytes), 0);
      const processCount = members.length;
      const use = { memoryBytes: counted, fileBytes, processCount, cpuMs };
      record.sawTree(performance.now() - watched.startAtMs, use);
      saw(use);
    }
    const ageMs = performance.now() - watched.startAtMs;
    const wantedMs = Math.min(2 * ageMs, record.nextSampleAtMs - ageMs, this.#safeMs(watched));
    return {
      costMs,
      pauseMs: Math.min(PAUSE_MS.longest, Math.max(PAUSE_MS.shortest, wantedMs)),
    };
  }

  /**
   * What a look costs without the time in which others had the processor: the least that one did,
   * which later ones may lift little by little.
   */
  #learnCost(costMs: number, processCount: number): number {
    const foundMs = costMs / Math.max(1, processCount);
    this.#processCostMs = Math.min(foundMs, this.#processCostMs * COST_GROWTH);
    return this.#processCostMs * processCount;
  }

  /** In which it can reach neither its own limit nor that of all together. */
  #safeMs({ watch, memoryBytes, sharing }: Watched): number {
    const ownBytes = watch.limitBytes - Math.max(memoryBytes, sharing.estimateBytes);
    const sharedBytes = this.#capacityBytes - this.#totalBytes;
    return Math.max(0, Math.min(ownBytes, sharedBytes)) / FILLED_BYTES_PER_MS;
  }

  /**
   * What the processes share is told apart only where it matters, as that is the dear part: when they
   * seem to be beyond their limit, or have more than ever. In between, what they have gained is
   * taken to be their own.
   */
  async #countMemory(
    { watch: { record, limitBytes }, sharing }: Watched,
    members: readonly ProcessEntry[],
  ): Promise<number> {
    const sum = members.reduce((bytes, member) => bytes + member.memoryBytes, 0);
    if (members.length < 2 || sum <= SHARING_BYTES) {
      Object.assign(sharing, { sumBytes: sum, memoryBytes: sum, estimateBytes: sum });
      return sum;
    }
    const estimate = sharing.memoryBytes + Math.max(0, sum - sharing.sumBytes);
    sharing.estimateBytes = estimate;
    const isBeyond = estimate > limitBytes;
    if (!isBeyond && estimate <= record.memoryBytesMax) return estimate;
    if (performance.now() < (isBeyond ? sharing.soonAtMs : sharing.laterAtMs)) {
      return Math.min(estimate, Math.max(record.memoryBytesMax, sharing.memoryBytes));
    }
    this.#sharingCount += 1;
    const counted = this.#sharing.then(() => countShared(members));
    this.#sharing = counted;
    const { memoryBytes, tookMs } = await counted;
    const nowMs = performance.now();
    const sharingMs = tookMs * this.#sharingCount;
    this.#sharingCount -= 1;
    Object.assign(sharing, {
      sumBytes: sum,
      memoryBytes,
      estimateBytes: memoryBytes,
      soonAtMs: nowMs + sharingMs / SHARING_SHARE_MAX.soon,
      laterAtMs: nowMs + sharingMs / SHARING_SHARE_MAX.later,
    });
    return memoryBytes;
  }
}

function newSharing(): Sharing {
  return { sumBytes: 0, memoryBytes: 0, estimateBytes: 0, soonAtMs: 0, laterAtMs: 0 };
}

async function countShared(
  members: readonly ProcessEntry[],
): Promise<{ readonly memoryBytes: number; readonly tookMs: number }> {
  const startMs = performance.now();
  let memoryBytes = 0;
  for (let index = 0; index < members.length; index += SHARING_BATCH) {
    const batch = members.slice(index, index + SHARING_BATCH);
    const found = await Promise.all(batch.map(async ({ processId, memoryBytes: allBytes }) => {
      return await readProportionalBytes(processId) ?? allBytes;
    }));
    for (const bytes of found) memoryBytes += bytes;
  }
  return { memoryBytes, tookMs: performance.now() - startMs };
}
