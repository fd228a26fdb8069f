/**
 * Page "Tasks": all of them, searched, filtered and sorted at the manager's side.
 *
 * @module
 */

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";

import { type Answers, SHOWN_STATES, type ShownState } from "../api.ts";
import { useAnswer } from "./answer.ts";
import { ask } from "./client.ts";
import { Choice, SearchField } from "./filters.tsx";
import { plural, shortId } from "./format.ts";
import { FoundTable } from "./found_table.tsx";
import { PageHead } from "./layout.tsx";
import { changeParams } from "./route.ts";
import { useRows } from "./rows.ts";
import { nowOf, useRun } from "./run.ts";
import { outcomeWords } from "./state.tsx";
import { readTaskQuery, TASK_SORTING, type TaskQuery } from "./task_query.ts";
import { taskColumns } from "./task_table.tsx";

/** Outcomes that can always be chosen; those that have happened join them. */
const OUTCOMES: readonly string[] = ["success", "failed", "cancelled"];

/** `{state: its word in the filter}` */
const STATE_WORDS: Readonly<Record<ShownState, string>> = {
  pending: "waiting",
  dispatched: "staging",
  running: "running",
  retrieving: "retrieving",
  done: "ended",
};

/** Page "Tasks". */
export function Tasks({ params }: { readonly params: URLSearchParams }): JSX.Element {
  const query = readTaskQuery(params);
  const key = JSON.stringify(query);
  const found = useRows(key, (part) => ask({ ...query, ...part }));
  const nowMs = nowOf(useRun());
  const columns = useMemo(() => taskColumns(nowMs), [nowMs]);
  return (
    <>
      <PageHead title="Tasks">
        <p class="soft" role="status">
          {found.total !== undefined && plural(found.total, "task")}
          {isFiltered(query) && !found.isStale && " match"}
        </p>
      </PageHead>
      <Filters params={params} query={query} />
      <FoundTable
        label="Tasks"
        page="tasks"
        params={params}
        found={found}
        questionKey={key}
        columns={columns}
        idOf={({ taskId }) => taskId}
        sortingChoice={TASK_SORTING}
        empty={<Nothing isFiltered={isFiltered(query)} />}
      />
    </>
  );
}

function isFiltered(query: TaskQuery): boolean {
  const { kind: _, sort: __, isDescending: ___, ...filter } = query;
  return Object.keys(filter).length > 0;
}

function Nothing({ isFiltered }: { readonly isFiltered: boolean }): JSX.Element {
  if (isFiltered) {
    return (
      <p>
        No task matches. <a href="#/tasks">Show all tasks</a>
      </p>
    );
  }
  return <NoTasks />;
}

/** What to do when there are none. */
export function NoTasks(): JSX.Element {
  const name = useRun()?.name ?? "NAME";
  return (
    <>
      <p>No task has been submitted yet. Submit one from a script, or from a terminal:</p>
      <pre class="command">tendril submit --name {name} -- echo hello</pre>
    </>
  );
}

interface FiltersProps {
  readonly params: URLSearchParams;
  readonly query: TaskQuery;
}

function Filters({ params, query }: FiltersProps): JSX.Element {
  const info = useRun();
  const failures = useAnswer({ kind: "overview", points: 2 }).value?.failures ?? [];
  const set = (name: string, value: string): void =>
    changeParams("tasks", params, { [name]: value });
  const outcomes = new Set([
    ...OUTCOMES,
    ...failures.map(({ outcome }) => outcome),
    ...query.outcomes ?? [],
  ]);
  const workers = useWorkerChoices();
  const categories = new Set([...info?.categories ?? [], ...named(query.category)]);
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <SearchField
        page="tasks"
        params={params}
        placeholder="Search name, command, tag, host, message, number"
      />
      <Choice
        label="State"
        value={query.states?.join() ?? ""}
        options={SHOWN_STATES.map((state) => [state, STATE_WORDS[state]])}
        onChange={(value) => set("state", value)}
      />
      <Choice
        label="Outcome"
        value={query.outcomes?.join() ?? ""}
        options={[...outcomes].map((outcome) => [outcome, outcomeWords(outcome)])}
        onChange={(value) => set("outcome", value)}
      />
      <Choice
        label="Category"
        value={query.category ?? ""}
        options={[...categories].map((category) => [category, category])}
        onChange={(value) => set("category", value)}
      />
      <Choice
        label="Kind"
        value={query.taskKind ?? ""}
        options={[["command", "commands"], ["call", "function calls"]]}
        onChange={(value) => set("kind", value)}
      />
      <Choice
        label="Worker"
        value={query.workerId ?? ""}
        options={workers}
        onChange={(value) => set("worker", value)}
      />
      {isFiltered(query) && <a class="clear" href="#/tasks">Clear</a>}
    </form>
  );
}

/** All workers by host; those that come later are there when the page is opened again. */
function useWorkerChoices(): readonly (readonly [string, string])[] {
  const [choices, setChoices] = useState<readonly (readonly [string, string])[]>([]);
  useEffect(() => {
    let isEnded = false;
    const take = ({ rows }: Answers["workers"]): void => {
      if (isEnded) return;
      const named = rows.map(({ workerId, host }) =>
        [workerId, `${host} ${shortId(workerId)}`] as const
      );
      setChoices(named.toSorted(([, a], [, b]) => a < b ? -1 : 1));
    };
    // Without them, any other filter still works; the table tells what is wrong.
    ask({ kind: "workers" }).then(take, () => {});
    return () => {
      isEnded = true;
    };
  }, []);
  return choices;
}

function named(name: string | undefined): string[] {
  return name === undefined ? [] : [name];
}
