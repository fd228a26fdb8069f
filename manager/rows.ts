/** Tables of a manager that are asked for in parts. */

import type { ClientConnection } from "./client.ts";
import type { Explanation } from "./core/explanation.ts";
import type { FileRow, TaskRow, TaskSelection } from "./client_protocol.ts";
import type { TaskStateName } from "./task_handle.ts";

/** Which tasks are wanted. */
export interface TaskQuery {
  readonly selection: TaskSelection;
  /** Empty: in whatever state. */
  readonly states?: readonly TaskStateName[];
  /** Leaves out those that have not failed. */
  readonly isFailed?: boolean;
}

/** Every row that fits, by id. */
export async function taskRows(
  connection: Pick<ClientConnection, "ask">,
  { selection, states = [], isFailed = false }: TaskQuery,
): Promise<TaskRow[]> {
  const rows: TaskRow[] = [];
  for (let after = 0;;) {
    const question = { kind: "tasks" as const, selection, states, isFailed, after };
    const { tasks, hasMore } = await connection.ask(question);
    rows.push(...tasks);
    const last = tasks.at(-1)?.id ?? 0;
    // A part that does not go on would go on for ever.
    if (!hasMore || last <= after) return rows;
    after = last;
  }
}

/** Every declared file, by id. */
export async function fileRows(connection: Pick<ClientConnection, "ask">): Promise<FileRow[]> {
  const rows: FileRow[] = [];
  for (let after = 0;;) {
    const { files, hasMore } = await connection.ask({ kind: "files", after });
    rows.push(...files);
    const last = files.at(-1)?.fileId ?? 0;
    if (!hasMore || last <= after) return rows;
    after = last;
  }
}

/** Why tasks do not run, by id; of no more than `most`. */
export async function explanationsOf(
  connection: Pick<ClientConnection, "ask">,
  { selection, most }: { readonly selection: TaskSelection; readonly most: number },
): Promise<{ readonly explanations: readonly Explanation[]; readonly hasMore: boolean }> {
  const found: Explanation[] = [];
  for (let after = 0;;) {
    const page = await connection.ask({ kind: "explain", selection, after });
    found.push(...page.explanations);
    const last = found.at(-1)?.taskId ?? 0;
    const hasMore = page.hasMore || found.length > most;
    // A page that does not go on would go on for ever.
    if (!page.hasMore || found.length >= most || last <= after) {
      return { explanations: found.slice(0, most), hasMore };
    }
    after = last;
  }
}
