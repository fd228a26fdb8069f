/** The tries of a task, or of a call, as a table. */

import type { JSX } from "preact";

interface TriesCardProps {
  /** Between the number of the try and how long it took. */
  readonly columns: readonly string[];
  /** Said where there is no try. */
  readonly nothing: string;
  readonly rows: readonly JSX.Element[];
}

/** A card with a row for each try. */
export function TriesCard({ columns, nothing, rows }: TriesCardProps): JSX.Element {
  return (
    <section class="card">
      <h2>Tries</h2>
      {rows.length === 0 ? <p class="soft">{nothing}</p> : (
        <div class="scroll-x">
          <table class="plain">
            <thead>
              <tr>
                <th scope="col" class="number">Try</th>
                {columns.map((column) => <th key={column} scope="col">{column}</th>)}
                <th scope="col" class="number">Took</th>
              </tr>
            </thead>
            <tbody>{rows}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}
