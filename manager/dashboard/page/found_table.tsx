/** A table of rows that the manager sorts and filters; what sorts them stands in the address. */

import type { ComponentChildren, JSX } from "preact";

import { Problem } from "./layout.tsx";
import { changeParams, hrefOf } from "./route.ts";
import type { RowWindow } from "./rows.ts";
import { readSorting, type SortingChoice, writeSorting } from "./sorting.ts";
import { type Column, Table } from "./table.tsx";

/** What such a table shows. */
export interface FoundTableProps<Row> {
  readonly label: string;
  /** The page that it stands on; that of a row has the row's id besides. */
  readonly page: string;
  readonly params: URLSearchParams;
  readonly found: RowWindow<Row>;
  /** Tells one question from another. */
  readonly questionKey: string;
  readonly columns: readonly Column<Row>[];
  readonly idOf: (row: Row) => number;
  readonly sortingChoice: SortingChoice<string>;
  /** Shown instead of rows when there are none. */
  readonly empty: ComponentChildren;
}

/** Shows what was found, and what went wrong with it. */
export function FoundTable<Row>(props: FoundTableProps<Row>): JSX.Element {
  const { found, page, params, idOf, sortingChoice } = props;
  return (
    <>
      {found.error !== undefined && <Problem text={found.error} />}
      {found.total !== undefined && (
        <div class={found.isStale ? "stale" : ""}>
          <Table
            label={props.label}
            columns={props.columns}
            total={found.total}
            rowAt={found.rowAt}
            onRange={found.onRange}
            resetKey={props.questionKey}
            hrefOf={(row) => hrefOf(page, idOf(row))}
            sorting={readSorting(params, sortingChoice)}
            onSort={(sorting) =>
              changeParams(page, params, { sort: writeSorting(sorting, sortingChoice) })}
            empty={props.empty}
          />
        </div>
      )}
    </>
  );
}
