/**
 * Tasks that clients submit: checked as those of scripts are, with the same messages, and given
 * to the core in slices, so that ten thousand in one request hold nobody up.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";

import type { FileId, TaskId } from "../shared/ids.ts";
import type { Catalog } from "./catalog.ts";
import type { ClientFiles } from "./client_files.ts";
import { filesOf, optionsOf } from "./client_options.ts";
import type { ClientRequest, ClientTask } from "./client_protocol.ts";
import type { FileStore } from "./file_store.ts";
import { readMembers, readTask } from "./task_definition.ts";
import type { TaskDesk } from "./task_desk.ts";

/** Tasks that are given to the core in one turn of the event loop. */
const SLICE_TASKS = 500;

/** Submissions whose parts are remembered: a client that lost an answer asks again soon. */
const SUBMISSIONS_MAX = 1000;

/** Parts of one submission: a hundred million tasks. */
const PARTS_MAX = 10_000;

type Submit = Extract<ClientRequest, { kind: "submit" }>;

/** The tasks of one part. */
export interface SubmittedPart {
  readonly firstId: TaskId;
  readonly count: number;
}

/** What submissions are made of. */
export interface SubmissionsOptions {
  readonly tasks: TaskDesk;
  readonly store: FileStore;
  readonly files: ClientFiles;
  readonly catalog: Catalog;
}

/** The submissions of all clients of one manager. */
export class Submissions {
  readonly #options: SubmissionsOptions;
  /** `{submission: its parts, by number}`, oldest submission first. */
  readonly #known: Map<string, Promise<SubmittedPart>[]> = new Map();

  constructor(options: SubmissionsOptions) {
    this.#options = options;
  }

  /**
   * Submits one part, once: asked again, it answers as before.
   *
   * @throws {TypeError | RangeError} When the tasks cannot be.
   */
  submit(request: Submit): Promise<SubmittedPart> {
    const { submissionId, part } = request;
    const parts = this.#known.get(submissionId) ?? [];
    const known = parts[part];
    if (known !== undefined) return known;
    if (part !== parts.length || part >= PARTS_MAX) {
      throw new RangeError(
        `Cannot take part ${part} of a submission: expected part ${parts.length}`,
      );
    }
    const taken = this.#take(request);
    parts.push(taken);
    this.#known.set(submissionId, parts);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= SUBMISSIONS_MAX) break;
      this.#known.delete(oldest);
    }
    return taken;
  }

  /** Checks all before the first is given away: a part is taken whole or not at all. */
  #take({ submissionId, task, members }: Submit): Promise<SubmittedPart> {
    const { tasks, store, files, catalog } = this.#options;
    if (members.length === 0) throw new RangeError("Cannot submit a part without tasks");
    const ids = fileIdsOf(task);
    for (const { outputs } of members) for (const { fileId } of outputs) ids.add(fileId);
    const { command, ...call } = readTask(optionsOf(task, files), store);
    const checked = readMembers(
      members.map(({ env, outputs }) => ({ env, outputs: filesOf(outputs, files) })),
      { command, ...call },
      store,
    );
    const release = files.hold(ids);
    const body = { kind: "command", command } as const;
    const array = tasks.submitArray({ call, body, runsIn: call }, checked);
    const { firstId, count } = array;
    catalog.noteSubmission(submissionId, { firstId, count });
    return giveAll(array.next).finally(release).then(() => ({ firstId, count }));
  }
}

async function giveAll(next: (most: number) => boolean): Promise<void> {
  while (next(SLICE_TASKS)) await setImmediate();
}

function fileIdsOf({ inputs, outputs, environments }: ClientTask): Set<FileId> {
  return new Set([...[...inputs, ...outputs].map(({ fileId }) => fileId), ...environments]);
}
