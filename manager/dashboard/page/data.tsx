/**
 * Page "Data": what files there are, where they are, and what is on its way.
 *
 * @module
 */

import type { JSX } from "preact";

import { FILE_SORTS, type FileSort } from "../api.ts";
import { useAnswer } from "./answer.ts";
import { ask } from "./client.ts";
import { FILE_COLUMNS, LEVEL_WORDS } from "./file_table.tsx";
import { Choice, SearchField } from "./filters.tsx";
import { bytes, count, plural } from "./format.ts";
import { FoundTable } from "./found_table.tsx";
import { PageHead } from "./layout.tsx";
import { changeParams, hrefOf, withParams } from "./route.ts";
import { useRows } from "./rows.ts";
import { nowOf, useRun } from "./run.ts";
import { readSorting, type SortingChoice } from "./sorting.ts";
import { TransferTable } from "./transfer_table.tsx";

/** Transfers in flight that are shown. */
const IN_FLIGHT_MAX = 50;

/** The largest first, unless the address says otherwise. */
const FILE_SORTING: SortingChoice<FileSort> = {
  keys: FILE_SORTS,
  start: { key: "size", isDescending: true },
};

/** Page "Data". */
export function Data({ params }: { readonly params: URLSearchParams }): JSX.Element {
  return (
    <>
      <PageHead title="Data">
        <a href={hrefOf("vine")}>How it spread: the vine</a>
      </PageHead>
      <Levels params={params} />
      <InFlight />
      <Files params={params} />
    </>
  );
}

/** Totals by level; each leads to its files. */
function Levels({ params }: { readonly params: URLSearchParams }): JSX.Element | null {
  const { value } = useAnswer({ kind: "levels" });
  if (value === undefined || value.total === 0) return null;
  const chosen = params.get("level");
  return (
    <div class="tiles level-tiles">
      {value.rows.map((row) => (
        <a
          key={row.level}
          class="tile"
          aria-current={chosen === row.level ? "true" : undefined}
          href={hrefOf(
            "data",
            undefined,
            withParams(params, { level: chosen === row.level ? undefined : row.level }),
          )}
        >
          <span class="tile-label">
            Level {row.level} <span class="soft">{LEVEL_WORDS[row.level]}</span>
          </span>
          <span class="tile-value">{bytes(row.bytes)}</span>
          <span class="tile-note">
            {plural(row.files, "file")} · {plural(row.replicas, "replica")} of{" "}
            {bytes(row.replicaBytes)}
          </span>
        </a>
      ))}
    </div>
  );
}

function InFlight(): JSX.Element | null {
  const { value } = useAnswer({ kind: "transfers", isRunning: true, limit: IN_FLIGHT_MAX });
  const nowMs = nowOf(useRun());
  if (value === undefined) return null;
  return (
    <section class="card in-flight">
      <h2>On the way</h2>
      <p class="soft">
        {value.total === 0 ? "Nothing is moved at the moment." : plural(value.total, "transfer")}
        {value.total > value.rows.length && `, of which the newest ${count(value.rows.length)}`}
      </p>
      {value.total > value.rows.length && <p class="soft">The newest {count(value.rows.length)}:
      </p>}
      {value.rows.length > 0 && <TransferTable rows={value.rows} isOneFile={false} nowMs={nowMs} />}
    </section>
  );
}

function Files({ params }: { readonly params: URLSearchParams }): JSX.Element {
  const search = params.get("q")?.trim() ?? "";
  const level = params.get("level") ?? "";
  const sorting = readSorting(params, FILE_SORTING);
  const query = {
    kind: "files" as const,
    ...(search !== "" && { search }),
    ...(level !== "" && { level }),
    sort: sorting.key,
    isDescending: sorting.isDescending,
  };
  const key = JSON.stringify(query);
  const found = useRows(key, (part) => ask({ ...query, ...part }));
  const isFiltered = search !== "" || level !== "";
  return (
    <>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <SearchField
          page="data"
          params={params}
          placeholder="Search source, cache name, kind, number"
        />
        <Choice
          label="Level"
          value={level}
          options={Object.keys(LEVEL_WORDS).map((name) => [name, name])}
          onChange={(value) => changeParams("data", params, { level: value })}
        />
        <span class="soft" role="status">
          {found.total !== undefined && plural(found.total, "file")}
          {isFiltered && " match"}
        </span>
        {isFiltered && <a class="clear" href={hrefOf("data")}>Clear</a>}
      </form>
      <FoundTable
        label="Files"
        page="data"
        params={params}
        found={found}
        questionKey={key}
        columns={FILE_COLUMNS}
        idOf={({ fileId }) => fileId}
        sortingChoice={FILE_SORTING}
        empty={isFiltered ? "No file matches." : "No file has been declared yet."}
      />
    </>
  );
}
