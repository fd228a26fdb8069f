/**
 * The graph of the workflow: tasks and files, or categories of them, and what leads to what.
 *
 * @module
 */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";

import type { Graph } from "../api.ts";
import { useAnswer } from "./answer.ts";
import { plural } from "./format.ts";
import { GraphDrawing } from "./graph_drawing.tsx";
import { sceneOfGraph, standingCounts } from "./graph_scene.ts";
import { Icon } from "./icon.tsx";
import { Problem } from "./layout.tsx";
import { hrefOf } from "./route.ts";
import { useRun } from "./run.ts";
import { STANDING_WORDS } from "./state.tsx";

/** What may be asked for, in words. */
const GROUPINGS = [
  ["auto", "what fits"],
  ["calls", "each call of an app"],
  ["apps", "apps"],
  ["tasks", "each task and file"],
  ["categories", "categories"],
] as const;

/** Page "Graph". */
export function GraphPage({ params }: { readonly params: URLSearchParams }): JSX.Element {
  const asked = params.get("by");
  const grouping = GROUPINGS.find(([name]) => name === asked)?.[0] ?? "auto";
  const { value, error, isStale } = useAnswer({ kind: "graph", grouping });
  const hasCalls = (useRun()?.apps.length ?? 0) > 0;
  const choices = GROUPINGS.filter(([name]) => hasCalls || name !== "calls" && name !== "apps");
  return (
    <>
      <div class="page-head">
        <h1>Graph</h1>
        {value && <Summary graph={value} />}
        <label class="drawing-choice">
          Show{" "}
          <select
            value={grouping}
            onChange={(event) => {
              const by = event.currentTarget.value;
              location.hash = hrefOf("graph", undefined, new URLSearchParams({ by }));
            }}
          >
            {choices.map(([name, words]) => <option key={name} value={name}>{words}</option>)}
          </select>
        </label>
      </div>
      {error !== undefined && <Problem text={error} />}
      {value === undefined || isStale
        ? error === undefined && <p class="empty">Drawing…</p>
        : value.nodes.length === 0
        ? <p class="empty">No task has been submitted yet.</p>
        : <Drawing graph={value} />}
    </>
  );
}

function Drawing({ graph }: { readonly graph: Graph }): JSX.Element {
  const scene = useMemo(() => sceneOfGraph(graph), [graph]);
  return <GraphDrawing scene={scene} isCut={graph.isCut} />;
}

/** The drawing in words, for who cannot see it. */
function Summary({ graph }: { readonly graph: Graph }): JSX.Element {
  const { grouping, nodes, edges } = graph;
  if (grouping === "calls" || grouping === "apps") {
    return (
      <p class="soft" id="graph-summary">
        {plural(nodes.length, grouping === "apps" ? "app" : "call")},{" "}
        {plural(edges.length, "link")}. <Standings nodes={nodes} />{" "}
        <a href={hrefOf("calls")}>The calls as a table</a>
      </p>
    );
  }
  const tasks = graph.nodes.filter(({ kind }) => kind === "task" || kind === "category");
  return (
    <p class="soft" id="graph-summary">
      {graph.grouping === "categories"
        ? plural(tasks.length, "category", "categories")
        : plural(tasks.length, "task")}, {plural(graph.nodes.length - tasks.length, "file")}
      {graph.grouping === "categories" && " or groups of files"},{" "}
      {plural(graph.edges.length, "link")}. <Standings nodes={tasks} />{" "}
      <a href={hrefOf("tasks")}>The tasks as a table</a>
    </p>
  );
}

function Standings({ nodes }: Pick<Graph, "nodes">): JSX.Element {
  return (
    <>
      {standingCounts(nodes).map(([standing, number]) => (
        <span key={standing} class={`mark mark-${standing} graph-count`}>
          <Icon name={standing} />{" "}
          {plural(number, STANDING_WORDS[standing], STANDING_WORDS[standing])}
        </span>
      ))}
    </>
  );
}
