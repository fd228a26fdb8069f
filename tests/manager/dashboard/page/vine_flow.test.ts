import { describe, expect, test } from "bun:test";

import type { Vine } from "../../../../manager/dashboard/api.ts";
import {
  activityOf,
  chartFlows,
  momentOf,
  stepsOf,
} from "../../../../manager/dashboard/page/vine_flow.ts";

type Edge = Vine["edges"][number];

function edge(from: number, to: number, startMs: number, rest: Partial<Edge> = {}): Edge {
  return {
    from,
    to,
    fileId: 1,
    startMs,
    endMs: startMs + 10,
    bytes: 100,
    isFailed: false,
    ...rest,
  };
}

function vineOf(edges: readonly Edge[]): Vine {
  const worker = { kind: "worker" as const, joinedAtMs: 0, leftAtMs: null };
  return {
    file: null,
    fromMs: 0,
    toMs: 100,
    nodes: [
      { id: "manager", kind: "manager", label: "manager", joinedAtMs: 0, leftAtMs: null },
      { ...worker, id: "w1", label: "a" },
      { ...worker, id: "w2", label: "b", joinedAtMs: 15, leftAtMs: 90 },
    ],
    edges,
    isCut: false,
  };
}

const vine = vineOf([
  edge(0, 1, 10),
  edge(1, 2, 20, { isFailed: true, bytes: 30 }),
  edge(1, 2, 40),
  edge(0, 1, 60, { bytes: 300 }),
  edge(1, 2, 95, { endMs: null, bytes: 50 }),
]);
const chart = chartFlows(vine, new Set([0, 2]));

test("chartFlows() puts all transfers of a pair of nodes together, by start", () => {
  expect(chart.flows.map(({ from, to, edges, isStem }) => [from, to, edges, isStem])).toEqual([
    [0, 1, [0, 3], true],
    [1, 2, [1, 2, 4], true],
  ]);
  expect(chart.bytesMax).toBe(400);
});

describe("momentOf()", () => {
  test("knows nothing of what has not begun, nor of who has not joined", () => {
    const moment = momentOf(chart, 5);
    expect(moment.nodes).toEqual(["waiting", "waiting", "absent"]);
    expect([moment.bytes, moment.moving, moment.failed, moment.holding]).toEqual([0, 0, 0, 0]);
    expect(moment.flows[0]).toEqual({ grown: 0, bytes: 0, moving: 0, failed: 0 });
  });

  test("grows while bytes move", () => {
    const moment = momentOf(chart, 15);
    expect(moment.flows[0]).toEqual({ grown: 0.5, bytes: 50, moving: 1, failed: 0 });
    expect(moment.nodes[1]).toBe("receiving");
  });

  test("tells what failed, and grows no stem of it", () => {
    const moment = momentOf(chart, 35);
    expect(moment.flows[1]).toEqual({ grown: 0, bytes: 30, moving: 0, failed: 1 });
    expect([moment.nodes[2], moment.holding, moment.failed]).toEqual(["waiting", 1, 1]);
  });

  test("sums bytes of a pair, and keeps when they first arrived", () => {
    const moment = momentOf(chart, 80);
    expect(moment.flows[0]).toEqual({ grown: 1, bytes: 400, moving: 0, failed: 0 });
    expect(moment.arrivedAtMs.slice(1)).toEqual([20, 50]);
    expect(moment.bytes).toBe(530);
  });

  test("tells who has left, and never that what goes on has arrived", () => {
    const moment = momentOf(chart, 100);
    expect(moment.nodes[2]).toBe("gone");
    expect(moment.moving).toBe(1);
    const first = chartFlows(vineOf([edge(0, 1, 10, { endMs: null })]), new Set([0]));
    expect(momentOf(first, 100).flows[0]!.grown).toBeLessThan(1);
    expect(momentOf(first, 100).nodes[1]).toBe("receiving");
  });

  test("takes it that who gives has it", () => {
    const made = chartFlows(vineOf([edge(1, 2, 30)]), new Set([0]));
    expect(momentOf(made, 31).nodes[1]).toBe("holding");
  });
});

test("stepsOf() tells each begin and end once, in order", () => {
  expect(stepsOf(vine)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 95, 100]);
});

test("activityOf() shares out bytes over the time that they took", () => {
  expect(activityOf(vineOf([edge(0, 1, 0, { endMs: 50 })]), 4)).toEqual([1, 1, 0, 0]);
  expect(activityOf(vineOf([edge(0, 1, 30, { endMs: 30 })]), 4)).toEqual([0, 1, 0, 0]);
  const [one, two] = activityOf(vineOf([edge(0, 1, 0, { endMs: 75 })]), 2);
  expect([one, two]).toEqual([1, 0.5]);
});
