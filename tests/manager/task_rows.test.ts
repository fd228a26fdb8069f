import { expect, test } from "bun:test";

import { Catalog } from "../../manager/catalog.ts";
import type { ClientRequest, TaskSort } from "../../manager/client_protocol.ts";
import { NO_OUTPUT } from "../../manager/output_log.ts";
import { taskPage } from "../../manager/task_rows.ts";
import type { TaskId, WorkerId } from "../../shared/ids.ts";
import type { Outcome } from "../../shared/task.ts";

type Wish = Extract<ClientRequest, { readonly kind: "tasks" }>;

function add(catalog: Catalog, id: number, category?: string, tag?: string): void {
  const body = { kind: "command", command: "true" } as const;
  const requested = { cores: 1, memoryBytes: 0, diskBytes: 0, gpus: 0 };
  catalog.add({ id: id as TaskId, body, library: undefined, tag, category, requested });
}

function end(
  catalog: Catalog,
  id: number,
  { outcome = "success", worker = "w1", endedAtMs = 10 }: {
    readonly outcome?: Outcome;
    readonly worker?: string;
    readonly endedAtMs?: number;
  } = {},
): void {
  const workerId = worker as WorkerId;
  const times = { submittedAtMs: 1, dispatchedAtMs: 2, endedAtMs };
  const base = { taskId: id as TaskId, try: 1, message: "", host: `host-of-${worker}` };
  catalog.end({ ...base, outcome, workerId, ...times }, NO_OUTPUT);
}

function page(catalog: Catalog, wish: Partial<Wish>): { ids: number[]; hasMore: boolean } {
  const { tasks, hasMore } = taskPage({
    kind: "tasks",
    requestId: 1,
    selection: { kind: "all" },
    states: [],
    isFailed: false,
    after: 0,
    ...wish,
  }, {
    catalog,
    look: (id) => ({ state: "dispatched", try: 1, workerId: "w3" as WorkerId, host: `h${id}` }),
    recoveryOf: () => undefined,
  });
  return { ids: tasks.map(({ id }) => Number(id)), hasMore };
}

test("taskPage() gives the tasks that fit all that is stated", () => {
  const catalog = new Catalog();
  for (const [id, category] of [[1, "train"], [2, "train"], [3, "plot"], [4, undefined]] as const) {
    add(catalog, id, category, id === 3 ? "night" : undefined);
  }
  end(catalog, 1);
  end(catalog, 2, { outcome: "timeout", worker: "w2" });
  const idsOf = (filter: Wish["filter"] & object) => page(catalog, { filter }).ids;
  expect(idsOf({ category: "train" })).toEqual([1, 2]);
  expect(idsOf({ category: "default" })).toEqual([4]);
  expect(idsOf({ tag: "night" })).toEqual([3]);
  expect(idsOf({ worker: "w2" })).toEqual([2]);
  expect(idsOf({ worker: "host-of-w1" })).toEqual([1]);
  expect(idsOf({ worker: "w3" })).toEqual([3, 4]);
  expect(idsOf({ outcomes: ["timeout", "exit"] })).toEqual([2]);
  expect(idsOf({ category: "train", outcomes: ["success"] })).toEqual([1]);
  expect(idsOf({ outcomes: [] })).toEqual([1, 2, 3, 4]);
});

test("taskPage() gives no more than were asked for, and says that there are more", () => {
  const catalog = new Catalog();
  for (let id = 1; id <= 5; id++) add(catalog, id);
  expect(page(catalog, { limit: 2 })).toEqual({ ids: [1, 2], hasMore: true });
  expect(page(catalog, { limit: 3, after: 2 })).toEqual({ ids: [3, 4, 5], hasMore: false });
});

test("taskPage() gives those with most first, of those alike the oldest", () => {
  const catalog = new Catalog();
  const endedAtMs = [30, 10, 50, 20, 50, 40];
  for (const [index, atMs] of endedAtMs.entries()) {
    add(catalog, index + 1);
    end(catalog, index + 1, { endedAtMs: atMs });
  }
  const sorted = (sort: TaskSort, limit?: number) => {
    return page(catalog, { sort, ...(limit === undefined ? {} : { limit }) });
  };
  expect(sorted("ended")).toEqual({ ids: [3, 5, 6, 1, 4, 2], hasMore: false });
  expect(sorted("ended", 3)).toEqual({ ids: [3, 5, 6], hasMore: true });
  expect(sorted("memory", 2)).toEqual({ ids: [1, 2], hasMore: true });
});
