/**
 * A table that stays light however many rows it has: only those in sight are there. It is sorted by
 * its heads, and walked with the arrow keys.
 *
 * @module
 */

import type { ComponentChildren, JSX, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { Icon } from "./icon.tsx";

/** One column. */
export interface Column<Row> {
  readonly key: string;
  readonly title: string;
  /** Of the column, in pixels; without it, it takes what is left. */
  readonly width?: number;
  /** Where there is little room; default `width`. */
  readonly narrowWidth?: number;
  readonly isNumber?: boolean;
  /** Rows can be sorted by `key`. */
  readonly isSortable?: boolean;
  /** Shown where there is little room too. */
  readonly isNarrow?: boolean;
  /** Shown only where there is much room. */
  readonly isExtra?: boolean;
  readonly cell: (row: Row) => ComponentChildren;
  /** By which rows are sorted that are all in the browser. */
  readonly value?: (row: Row) => string | number | null;
}

/** By what rows are sorted. */
export interface Sorting {
  readonly key: string;
  readonly isDescending: boolean;
}

/** What a table shows. */
export interface TableProps<Row> {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly total: number;
  /** Undefined while it is on its way. */
  readonly rowAt: (index: number) => Row | undefined;
  /** Where a click on the row leads, or Enter. */
  readonly hrefOf?: (row: Row) => string;
  readonly sorting?: Sorting;
  readonly onSort?: (sorting: Sorting) => void;
  /** Told which rows are in sight; `last` is one after. */
  readonly onRange?: (first: number, last: number) => void;
  /** When it changes, the table is shown from its start. */
  readonly resetKey?: string;
  /** Shown instead of rows when there are none. */
  readonly empty: ComponentChildren;
  /** Rows in sight at most; more are scrolled. Default: as many as the window has room for. */
  readonly rowsMax?: number;
}

/** Height of a row in pixels, as in the style sheet. */
const ROW_PX = 34;

/** Rows kept above and below what is in sight. */
const SPARE_ROWS = 12;

/** Which rows are in sight: the first, and one after the last. */
interface Sight {
  readonly first: number;
  readonly last: number;
}

/** Rows that are in sight of a box that is scrolled so far. */
export function rowsInSight(scrollTop: number, height: number, total: number): Sight {
  const first = Math.max(0, Math.floor(scrollTop / ROW_PX) - SPARE_ROWS);
  const last = Math.min(total, Math.ceil((scrollTop + height) / ROW_PX) + SPARE_ROWS);
  return { first: Math.min(first, last), last };
}

/** A table. */
export function Table<Row>(props: TableProps<Row>): JSX.Element {
  const { columns, total, rowAt, rowsMax } = props;
  const { box, sight, active, look, move } = useWalk(props);
  if (total === 0) return <div class="empty">{props.empty}</div>;
  const indexes = Array.from({ length: sight.last - sight.first }, (_, at) => sight.first + at);
  const style = rowsMax === undefined ? undefined : { maxHeight: `${(rowsMax + 1) * ROW_PX}px` };
  return (
    <div class="table-box" ref={box} tabIndex={-1} onScroll={look} onKeyDown={move} style={style}>
      <table aria-label={props.label} aria-rowcount={total + 1}>
        <colgroup>
          {columns.map((column) => (
            <col
              key={column.key}
              class={roomClass(column)}
              style={widthOf(column)}
            />
          ))}
        </colgroup>
        <Head {...props} />
        <tbody>
          <Spacer rows={sight.first} />
          {indexes.map((index) => (
            <Line
              key={index}
              {...props}
              index={index}
              row={rowAt(index)}
              isActive={index === active}
            />
          ))}
          <Spacer rows={total - sight.last} />
        </tbody>
      </table>
    </div>
  );
}

/** The style sheet takes the one that there is room for. */
function widthOf<Row>({ width, narrowWidth }: Column<Row>): JSX.CSSProperties {
  return {
    ...(width !== undefined && { "--wide": `${width}px` }),
    ...(narrowWidth !== undefined && { "--narrow": `${narrowWidth}px` }),
  };
}

/** What of a table is in sight, and which row the keys are at. */
interface Walk {
  readonly box: RefObject<HTMLDivElement>;
  readonly sight: Sight;
  readonly active: number;
  readonly look: () => void;
  readonly move: (event: KeyboardEvent) => void;
}

function useWalk<Row>({ total, onRange, resetKey }: TableProps<Row>): Walk {
  const box = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState<Sight>(() => rowsInSight(0, 30 * ROW_PX, total));
  const [active, setActive] = useState(0);
  const isFocusWanted = useRef(false);

  function look(): void {
    const element = box.current;
    if (element === null) return;
    const found = rowsInSight(element.scrollTop, element.clientHeight, total);
    setSight((last) => last.first === found.first && last.last === found.last ? last : found);
  }

  useLayoutEffect(() => {
    if (box.current !== null) box.current.scrollTop = 0;
    setActive(0);
  }, [resetKey]);
  useLayoutEffect(() => {
    look();
    const observer = new ResizeObserver(look);
    if (box.current !== null) observer.observe(box.current);
    return () => observer.disconnect();
  }, [total]);
  useEffect(() => onRange?.(sight.first, sight.last), [sight, onRange]);
  useEffect(() => {
    if (!isFocusWanted.current) return;
    const link = box.current?.querySelector<HTMLElement>(`[data-index="${active}"] .row-link`);
    // The row may still be on its way: then after the next drawing.
    if (!link) return;
    isFocusWanted.current = false;
    link.focus({ preventScroll: true });
  });

  function move(event: KeyboardEvent): void {
    const to = targetOf(event.key, active, total, box.current?.clientHeight ?? 0);
    if (to === undefined || box.current === null) return;
    if (event.target !== box.current && !(event.target as HTMLElement).closest("tbody")) return;
    event.preventDefault();
    isFocusWanted.current = true;
    // The row that has the focus may go out of sight, and with it the keys.
    box.current.focus({ preventScroll: true });
    setActive(to);
    scrollTo(box.current, to);
  }

  return { box, sight, active: Math.min(active, total - 1), look, move };
}

function Head<Row>({ columns, sorting, onSort }: TableProps<Row>): JSX.Element {
  return (
    <thead>
      <tr aria-rowindex={1}>
        {columns.map((column) => {
          const { key, title, isSortable } = column;
          const isSorted = sorting?.key === key;
          const isDescending = isSorted && sorting.isDescending;
          return (
            <th
              key={key}
              scope="col"
              class={cellClass(column)}
              aria-sort={!isSorted ? undefined : isDescending ? "descending" : "ascending"}
            >
              {isSortable
                ? (
                  <button
                    type="button"
                    class="sort"
                    onClick={() => onSort?.({ key, isDescending: isSorted && !isDescending })}
                  >
                    {title}
                    {isSorted && <Icon name={isDescending ? "down" : "up"} />}
                  </button>
                )
                : title}
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

interface LineProps<Row> extends TableProps<Row> {
  readonly index: number;
  readonly row: Row | undefined;
  readonly isActive: boolean;
}

/** One row; its first cell holds the link that the whole row follows. */
function Line<Row>({ columns, row, index, isActive, hrefOf }: LineProps<Row>): JSX.Element {
  return (
    <tr data-index={index} aria-rowindex={index + 2} class={hrefOf ? "is-link" : ""}>
      {columns.map((column, at) => (
        <td key={column.key} class={cellClass(column)}>
          {row === undefined
            ? <i class="pending" />
            : at === 0 && hrefOf
            ? (
              <a class="row-link" href={hrefOf(row)} tabIndex={isActive ? 0 : -1}>
                {column.cell(row)}
              </a>
            )
            : column.cell(row)}
        </td>
      ))}
    </tr>
  );
}

/** Stands for rows that are out of sight. */
function Spacer({ rows }: { readonly rows: number }): JSX.Element {
  return (
    <tr class="spacer" aria-hidden="true" style={{ height: `${rows * ROW_PX}px` }}>
      <td />
    </tr>
  );
}

function cellClass<Row>(column: Column<Row>): string {
  return `${column.isNumber ? "number " : ""}${roomClass(column)}`;
}

/** For how much room a column is. */
function roomClass<Row>({ isNarrow, isExtra }: Column<Row>): string {
  return isNarrow ? "" : isExtra ? "wide-only extra" : "wide-only";
}

/** The row that a key leads to. */
function targetOf(
  key: string,
  from: number,
  total: number,
  height: number,
): number | undefined {
  const page = Math.max(1, Math.floor(height / ROW_PX) - 2);
  const steps: { readonly [key: string]: number } = {
    ArrowDown: from + 1,
    ArrowUp: from - 1,
    PageDown: from + page,
    PageUp: from - page,
    Home: 0,
    End: total - 1,
  };
  const to = steps[key];
  return to === undefined ? undefined : Math.min(total - 1, Math.max(0, to));
}

/** Scrolls no further than needed; the head covers one row. */
function scrollTo(box: HTMLElement, index: number): void {
  const top = index * ROW_PX;
  if (top < box.scrollTop) box.scrollTop = top;
  const bottom = top + 2 * ROW_PX - box.clientHeight;
  if (bottom > box.scrollTop) box.scrollTop = bottom;
}
