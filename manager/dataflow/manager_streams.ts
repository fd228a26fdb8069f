/**
 * All that a command writes, in files that come to the manager: also of a try that failed, whatever
 * ended it. The command itself writes them, so that its worker has nothing to copy; the ends that
 * workers tell of otherwise are read from them here.
 *
 * @module
 */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";

import type { FileHandle } from "../file_handle.ts";
import type { Manager } from "../manager.ts";
import type { OutputOptions } from "../mount_option.ts";
import type { AppTry, StreamName, TryStreams } from "./executor.ts";
import { PlacedFile } from "./placed_file.ts";

/** What is told of a stream beside the file, in bytes, as workers do. */
const END_BYTES_MAX: number = 64 * 1024;

/** Folder in the sandbox. */
const FOLDER = "tendril-streams";

/** The ends of both streams, as text. */
type StreamEnds = { readonly [Stream in StreamName]: string };

/** What a command wrote of the streams that are wanted whole. */
export interface WrittenStreams {
  readonly streams: TryStreams;
  /** The end of each. */
  readonly ends: Partial<StreamEnds>;
  readonly release: () => void;
}

/** Two files of each stream: one comes of a success, the other one of a failure. */
interface StreamFiles {
  readonly done: FileHandle;
  readonly failed: FileHandle;
}

/** The streams of one try of a command. */
export class ManagerStreams {
  readonly #manager: Manager;
  readonly #files: ReadonlyMap<StreamName, StreamFiles>;

  constructor(manager: Manager, { streams = [] }: Pick<AppTry, "streams">) {
    this.#manager = manager;
    this.#files = new Map(
      streams.map((name) => [name, { done: manager.buffer(), failed: manager.buffer() }]),
    );
  }

  /** The command, which writes there. */
  redirected(command: string): string {
    if (this.#files.size === 0) return command;
    const lines = [`mkdir -p ${FOLDER}`];
    for (const name of this.#files.keys()) {
      const number = name === "stdout" ? 1 : 2;
      lines.push(`ln -s ${name} ${failedMount(name)}`, `exec ${number}>${doneMount(name)}`);
    }
    return `${lines.join(" && ")} || exit\n${command}`;
  }

  /** What the task makes beside its outputs. */
  get outputs(): { readonly [mount: string]: FileHandle | OutputOptions } {
    const outputs: { [mount: string]: FileHandle | OutputOptions } = {};
    for (const [name, { done, failed }] of this.#files) {
      outputs[doneMount(name)] = done;
      outputs[failedMount(name)] = { file: failed, only: "failure" };
    }
    return outputs;
  }

  /** What was written, once the task has ended; nothing of what did not come. */
  async take(hasSucceeded: boolean): Promise<WrittenStreams> {
    const streams: { [Stream in StreamName]?: PlacedFile } = {};
    const ends: { [Stream in StreamName]?: string } = {};
    for (const [name, { done, failed }] of this.#files) {
      try {
        const path = await this.#manager.fetch(hasSucceeded ? done : failed);
        streams[name] = new PlacedFile({ kind: "path", path }, name);
        ends[name] = endOfFile(path);
      } catch (error) {
        // A try that never ran, or was cut off with its worker, has left nothing.
        if (hasSucceeded) throw error;
      }
    }
    return { streams, ends, release: () => this.release() };
  }

  /** Lets go of the files. */
  release(): void {
    for (const { done, failed } of this.#files.values()) {
      done[Symbol.dispose]();
      failed[Symbol.dispose]();
    }
  }
}

function doneMount(name: StreamName): string {
  return `${FOLDER}/${name}`;
}

function failedMount(name: StreamName): string {
  return `${FOLDER}/failed-${name}`;
}

/** The end of a file, as text. */
function endOfFile(path: string): string {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const bytes = new Uint8Array(Math.min(size, END_BYTES_MAX));
    const count = readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return new TextDecoder().decode(bytes.subarray(0, count));
  } finally {
    closeSync(file);
  }
}
