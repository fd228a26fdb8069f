/** How the calls of each app stand. */

import type { JSX } from "preact";

import type { AppRow } from "../call_api.ts";
import { count, plural } from "./format.ts";
import { hrefOf } from "./route.ts";

/** Apps at most; the rest is in the graph. */
const APPS_MAX = 12;

/** A card with a row for each app. */
export function AppList({ apps }: { readonly apps: readonly AppRow[] }): JSX.Element {
  const rows = apps.map(rowOf);
  const sum = (key: "calls" | "memory"): number => rows.reduce((total, row) => total + row[key], 0);
  return (
    <section class="card">
      <h2>Apps</h2>
      <p class="soft">
        {plural(sum("calls"), "call")}, {count(sum("memory"))} from memory
      </p>
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">App</th>
            <th scope="col" class="number">Calls</th>
            <th scope="col" class="number">Done</th>
            <th scope="col" class="number">From memory</th>
            <th scope="col" class="number">Failed</th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, APPS_MAX).map(({ app, calls, done, memory, failed }) => (
            <tr key={app}>
              <td>
                <a href={hrefOf("calls", undefined, new URLSearchParams({ app }))}>{app}</a>
              </td>
              <td class="number">{count(calls)}</td>
              <td class="number">{count(done)}</td>
              <td class="number">{count(memory)}</td>
              <td class="number">{count(failed)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > APPS_MAX && (
        <p class="soft">
          and{" "}
          <a href={hrefOf("graph", undefined, new URLSearchParams({ by: "apps" }))}>
            {plural(rows.length - APPS_MAX, "more", "more")}
          </a>
        </p>
      )}
    </section>
  );
}

function rowOf({ app, calls, states }: AppRow): {
  readonly app: string;
  readonly calls: number;
  readonly done: number;
  readonly memory: number;
  readonly failed: number;
} {
  return {
    app,
    calls,
    done: states.exec_done ?? 0,
    memory: states.memo_done ?? 0,
    failed: (states.failed ?? 0) + (states.dep_fail ?? 0),
  };
}
