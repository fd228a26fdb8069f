/**
 * What failed tries wrote, in files of the run's folder: `outputs/7-1.stderr` of the first try of
 * task 7. They are the ends that workers tell of, written one after the other off the event loop.
 * The first failures tell most: when there are many, the later ones are left out.
 *
 * @module
 */

import { mkdir, open, rm } from "node:fs/promises";

import { join } from "@std/path";

import { formatSize } from "../shared/units.ts";
import type { Fact } from "./core/fact.ts";
import { tell } from "./notice.ts";
import type { RunDirectory } from "./run_directory.ts";

/** Files of one run. */
export const OUTPUT_FILES_MAX = 2000;

/** Bytes of all of them. */
export const OUTPUT_BYTES_MAX: number = 256_000_000;

/** What waits for the disk at most. */
const QUEUE_BYTES_MAX = 32_000_000;

/** What these are made of. */
export interface FailedOutputsOptions {
  readonly runDirectory: Pick<RunDirectory, "make" | "outputsPath">;
  /** Told of limits that are reached and of a disk that takes no more, each once. */
  readonly onTrouble?: (message: string) => void;
  /** Default `OUTPUT_FILES_MAX`. */
  readonly filesMax?: number;
  /** Default `OUTPUT_BYTES_MAX`. */
  readonly bytesMax?: number;
}

interface Output {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The files of one run. */
export class FailedOutputs {
  readonly #options: FailedOutputsOptions;
  readonly #queue: Output[] = [];
  #queuedBytes = 0;
  #fileCount = 0;
  #sizeBytes = 0;
  #writing: Promise<void> | undefined;
  readonly #told: Set<"limit" | "queue" | "disk"> = new Set();
  #isClosed = false;

  constructor(options: FailedOutputsOptions) {
    this.#options = options;
  }

  /** Takes in what became true. */
  hear(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.kind !== "try_ended" || fact.result === undefined) continue;
      if (fact.outcome === "success" || fact.outcome === "cancelled") continue;
      const { stdout, stderr } = fact.result;
      const name = `${fact.taskId}-${fact.try}`;
      this.#take({ name: `${name}.stdout`, bytes: stdout });
      this.#take({ name: `${name}.stderr`, bytes: stderr });
    }
  }

  /** Writes what waits and takes nothing more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
  }

  #take(output: Output): void {
    const { filesMax = OUTPUT_FILES_MAX, bytesMax = OUTPUT_BYTES_MAX } = this.#options;
    const sizeBytes = output.bytes.length;
    if (sizeBytes === 0 || this.#isClosed || this.#folder() === undefined) return;
    if (this.#fileCount >= filesMax || this.#sizeBytes + sizeBytes > bytesMax) {
      const most = `${filesMax} files or ${formatSize(bytesMax)}`;
      return this.#tell("limit", `what further failed tasks write is not kept: ${most} are enough`);
    }
    if (this.#queuedBytes + sizeBytes > QUEUE_BYTES_MAX) {
      return this.#tell("queue", "some of what failed tasks write is not kept: the disk is slow");
    }
    this.#fileCount += 1;
    this.#sizeBytes += sizeBytes;
    this.#queuedBytes += sizeBytes;
    this.#queue.push(output);
    this.#writing ??= this.#write();
  }

  #folder(): string | undefined {
    const { runDirectory } = this.#options;
    runDirectory.make();
    return runDirectory.outputsPath;
  }

  async #write(): Promise<void> {
    // What else comes in this turn goes along.
    await Promise.resolve();
    for (let output = this.#queue.shift(); output !== undefined; output = this.#queue.shift()) {
      try {
        await writeNew(this.#folder() ?? "", output);
      } catch (error) {
        const found = error instanceof Error ? error.message : String(error);
        this.#tell("disk", `Cannot keep what failed tasks write: ${found}`);
        this.#fileCount -= 1;
        this.#sizeBytes -= output.bytes.length;
      }
      this.#queuedBytes -= output.bytes.length;
    }
    this.#writing = undefined;
  }

  #tell(what: "limit" | "queue" | "disk", message: string): void {
    if (this.#told.has(what)) return;
    this.#told.add(what);
    (this.#options.onTrouble ?? tell)(message);
  }
}

/** A file that is whole, or not there. */
async function writeNew(folder: string, { name, bytes }: Output): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, name);
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(bytes);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}
