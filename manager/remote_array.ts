/** Many tasks alike, submitted to a manager elsewhere in parts. */

import { randomBytes } from "node:crypto";

import type { TaskId } from "../shared/ids.ts";
import type { ClientConnection } from "./client.ts";
import { type ClientMember, type ClientTask, SUBMIT_TASKS_MAX } from "./client_protocol.ts";

/** Characters of the variables of one part: with a command it stays well below a frame. */
const PART_CHARS_MAX: number = 1024 * 1024;

/** Submits a task for each member; returns their ids in the order of the members. */
export async function submitParts(
  connection: ClientConnection,
  task: ClientTask,
  members: readonly ClientMember[],
): Promise<TaskId[]> {
  const submissionId = randomBytes(16).toString("hex");
  const ids: TaskId[] = [];
  // One after the other: the ids are to be in the order of the members.
  for (const [part, some] of partsOf(members).entries()) {
    const question = { kind: "submit" as const, submissionId, part, task, members: some };
    const { firstId, count } = await connection.ask(question);
    // Ids of one part are consecutive.
    for (let index = 0; index < count; index += 1) ids.push(firstId + index as TaskId);
  }
  return ids;
}

function partsOf(members: readonly ClientMember[]): ClientMember[][] {
  const parts: ClientMember[][] = [];
  let part: ClientMember[] = [];
  let partChars = 0;
  for (const member of members) {
    const chars = charsOf(member);
    if (
      part.length >= SUBMIT_TASKS_MAX || (part.length > 0 && partChars + chars > PART_CHARS_MAX)
    ) {
      parts.push(part);
      part = [];
      partChars = 0;
    }
    part.push(member);
    partChars += chars;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

function charsOf({ env, outputs }: ClientMember): number {
  let chars = 0;
  for (const [name, value] of Object.entries(env)) chars += name.length + value.length;
  for (const { mount } of outputs) chars += mount.length;
  return chars;
}
