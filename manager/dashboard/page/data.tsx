/**
 * Page "Data": what files there are, where they are, and what is on its way.
 *
 * @module
 */

import type { JSX } from "preact";

import type { Question } from "../api.ts";
import { useAnswer } from "./answer.ts";
import { ask } from "./client.ts";
import { FILE_COLUMNS, LEVEL_WORDS } from "./file_table.tsx";
import { Choice, SearchField } from "./filters.tsx";
import { bytes, count, plural } from "./format.ts";
import { PageHead, Problem } from "./layout.tsx";
import { hrefOf, withParams } from "./route.ts";
import { useRows } from "./rows.ts";
import { nowOf, useRun } from "./run.ts";
import { type Sorting, Table } from "./table.tsx";
import { TransferTable } from "./transfer_table.tsx";

type FilesQuestion = Extract<Question, { kind: "files" }>;

/** Transfers in flight that are shown. */
const IN_FLIGHT_MAX = 50;

const SORTS: readonly FilesQuestion["sort"][] = ["id", "size", "replicas", "level", "transfers"];

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
  const sorting = sortingOf(params);
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
          onChange={(value) => goTo(withParams(params, { level: value }))}
        />
        <span class="soft" role="status">
          {found.total !== undefined && plural(found.total, "file")}
          {isFiltered && " match"}
        </span>
        {isFiltered && <a class="clear" href={hrefOf("data")}>Clear</a>}
      </form>
      {found.error !== undefined && <Problem text={found.error} />}
      {found.total !== undefined && (
        <div class={found.isStale ? "stale" : ""}>
          <Table
            label="Files"
            columns={FILE_COLUMNS}
            total={found.total}
            rowAt={found.rowAt}
            onRange={found.onRange}
            resetKey={key}
            hrefOf={({ fileId }) => hrefOf("data", fileId)}
            sorting={sorting}
            onSort={({ key, isDescending }) =>
              goTo(withParams(params, { sort: `${isDescending ? "-" : ""}${key}` }))}
            empty={isFiltered ? "No file matches." : "No file has been declared yet."}
          />
        </div>
      )}
    </>
  );
}

/** Changes the address without a new entry in the history: back leads to the page before. */
function goTo(params: URLSearchParams): void {
  location.replace(hrefOf("data", undefined, params));
}

/** The largest first, unless the address says otherwise. */
function sortingOf(params: URLSearchParams): Sorting & { readonly key: FilesQuestion["sort"] } {
  const text = params.get("sort") ?? "-size";
  const key = SORTS.find((sort) => sort === text.replace(/^-/, "")) ?? "size";
  return { key, isDescending: text.startsWith("-") };
}
