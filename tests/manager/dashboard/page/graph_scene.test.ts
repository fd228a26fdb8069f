import { expect, test } from "bun:test";

import type { Graph } from "../../../../manager/dashboard/api.ts";
import {
  boxBeside,
  sceneOfGraph,
  standingCounts,
} from "../../../../manager/dashboard/page/graph_scene.ts";

type Node = Graph["nodes"][number];

const align: Node = {
  id: "c:align",
  kind: "category",
  label: "align",
  number: null,
  states: { success: 6, running: 1, resource_exhausted: 2, exit_code: 1 },
  sizeBytes: null,
};
const input: Node = {
  id: "f:7",
  kind: "file",
  label: "genome.fa",
  number: 7,
  states: {},
  sizeBytes: 1_500_000,
};
const graph: Graph = {
  grouping: "categories",
  nodes: [align, input],
  edges: [{ from: "f:7", to: "c:align", count: 10 }],
  isCut: false,
};

test("standingCounts() counts every outcome that is none of the known ones as failed", () => {
  expect(standingCounts([align])).toEqual([["failed", 3], ["running", 1], ["success", 6]]);
  expect(standingCounts([align, { states: { pending: 2 } }])).toContainEqual(["waiting", 2]);
});

test("sceneOfGraph() tells states in words and leads to where more is told", () => {
  const [category, file] = sceneOfGraph(graph).items;
  expect(category!.sentence).toBe("Category align: 10 tasks, 3 failed, 1 running, 6 done");
  expect(category!.href).toBe("#/tasks?category=align");
  expect(category!.shares.map(([, share]) => share)).toEqual([0.3, 0.1, 0.6]);
  expect([file!.sentence, file!.href]).toEqual(["File 7 genome.fa: 1.5 MB", "#/data/7"]);
});

test("boxBeside() goes to the box that a key points at, and nowhere past the last", () => {
  const { boxes } = sceneOfGraph(graph).layout;
  const [category, file] = boxes;
  expect(boxBeside(boxes, file!, "ArrowRight")).toBe(category);
  expect(boxBeside(boxes, category!, "ArrowLeft")).toBe(file);
  expect(boxBeside(boxes, category!, "ArrowRight")).toBeUndefined();
});
