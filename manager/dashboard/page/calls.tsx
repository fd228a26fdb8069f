/**
 * Page "Calls": calls of apps, searched, filtered and sorted at the manager's side.
 *
 * @module
 */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import { APP_STATES } from "../call_api.ts";
import { CALL_SORTING, type CallQuery, readCallQuery } from "./call_query.ts";
import { callStateWord } from "./call_state.tsx";
import { callColumns } from "./call_table.tsx";
import { ask } from "./client.ts";
import { Choice, SearchField } from "./filters.tsx";
import { plural } from "./format.ts";
import { FoundTable } from "./found_table.tsx";
import { PageHead } from "./layout.tsx";
import { changeParams } from "./route.ts";
import { useRows } from "./rows.ts";
import { nowOf, useRun } from "./run.ts";

/** Page "Calls". */
export function Calls({ params }: { readonly params: URLSearchParams }): JSX.Element {
  const query = readCallQuery(params);
  const key = JSON.stringify(query);
  const found = useRows(key, (part) => ask({ ...query, ...part }));
  const nowMs = nowOf(useRun());
  const columns = useMemo(() => callColumns(nowMs), [nowMs]);
  const isFiltered = (query.search ?? query.states ?? query.app) !== undefined;
  return (
    <>
      <PageHead title="Calls of apps">
        <p class="soft" role="status">
          {found.total !== undefined && plural(found.total, "call")}
          {isFiltered && !found.isStale && " match"}
        </p>
      </PageHead>
      <Filters params={params} query={query} isFiltered={isFiltered} />
      <FoundTable
        label="Calls of apps"
        page="calls"
        params={params}
        found={found}
        questionKey={key}
        columns={columns}
        idOf={({ callId }) => callId}
        sortingChoice={CALL_SORTING}
        empty={isFiltered
          ? (
            <p>
              No call matches. <a href="#/calls">Show all calls</a>
            </p>
          )
          : <p>No app has been called yet.</p>}
      />
    </>
  );
}

function Filters(
  { params, query, isFiltered }: {
    readonly params: URLSearchParams;
    readonly query: CallQuery;
    readonly isFiltered: boolean;
  },
): JSX.Element {
  const apps = useRun()?.apps ?? [];
  const set = (name: string, value: string): void =>
    changeParams("calls", params, { [name]: value });
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <SearchField
        page="calls"
        params={params}
        placeholder="Search app, label, arguments, message, host, memo key, number"
      />
      <Choice
        label="App"
        value={query.app ?? ""}
        options={apps.map((app) => [app, app])}
        onChange={(value) => set("app", value)}
      />
      <Choice
        label="State"
        value={query.states?.join() ?? ""}
        options={APP_STATES.map((state) => [state, callStateWord(state)])}
        onChange={(value) => set("state", value)}
      />
      {isFiltered && <a class="clear" href="#/calls">Clear</a>}
    </form>
  );
}
