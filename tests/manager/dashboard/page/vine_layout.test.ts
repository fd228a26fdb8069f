import { describe, expect, test } from "bun:test";

import {
  growTree,
  layoutVine,
  type VineShape,
} from "../../../../manager/dashboard/page/vine_layout.ts";

const FILE: VineShape["file"] = {
  fileId: 7,
  kind: "local",
  source: "genome.fa",
  cacheName: null,
  level: "workflow",
  sizeBytes: 9,
  replicas: 3,
  transfers: 3,
  movedBytes: 27,
  producerTaskId: null,
  isNondeterministic: false,
  isForgotten: false,
};

type ShapeEdge = VineShape["edges"][number];

function edge(from: number, to: number, endMs: number | null, isFailed = false): ShapeEdge {
  return { from, to, startMs: (endMs ?? 900) - 5, endMs, isFailed, bytes: 100 - from };
}

function shape(workerCount: number, edges: readonly ShapeEdge[]): VineShape {
  const workers = Array.from({ length: workerCount }, (_, at) => ({
    id: `w${at + 1}`,
    kind: "worker" as const,
  }));
  return { nodes: [{ id: "manager", kind: "manager" }, ...workers], edges, file: FILE };
}

/** Each node gives to `fanOut` others, as peers pass a popular file on. */
function spread(workerCount: number, fanOut: number): VineShape {
  const edges = Array.from(
    { length: workerCount },
    (_, at) => edge(Math.floor(at / fanOut), at + 1, 10 * (at + 1)),
  );
  return shape(workerCount, edges);
}

const box = { widthPx: 1_200, heightPx: 640, marginPx: 16, sidePx: 16 };

function closestPx(vine: VineShape, within: typeof box): number {
  const { places } = layoutVine(vine, within);
  let closest = Infinity;
  for (const [a, left] of places.entries()) {
    for (const right of places.slice(a + 1)) {
      closest = Math.min(closest, Math.hypot(left.x - right.x, left.y - right.y));
    }
  }
  return closest;
}

describe("growTree()", () => {
  test("hangs a worker on the node from which it first had the file", () => {
    const tree = growTree(shape(3, [edge(0, 1, 10), edge(0, 2, 40), edge(1, 2, 20)]));
    expect(tree.limbs.map((limb) => limb.parent)).toEqual([-1, 0, 1, 0]);
    expect(tree.limbs[2]).toEqual({ parent: 1, edge: 2, depth: 2 });
  });

  test("prefers what arrived to what is on its way, and that to what failed", () => {
    const tree = growTree(
      shape(2, [edge(0, 1, 10), edge(0, 2, 5, true), edge(1, 2, null)]),
    );
    expect(tree.limbs[2]).toEqual({ parent: 1, edge: 2, depth: 2 });
  });

  test("lets a worker that made the file itself stand by itself", () => {
    const tree = growTree(shape(2, [edge(0, 1, 90), edge(2, 1, 10)]));
    expect(tree.limbs[2]).toEqual({ parent: 0, edge: -1, depth: 1 });
    expect(tree.limbs[1]?.parent).toBe(2);
  });

  test("begins at who gave first when the manager had no part", () => {
    const tree = growTree(shape(2, [edge(2, 1, 10)]));
    expect(tree.root).toBe(2);
    expect(tree.limbs[1]?.parent).toBe(2);
  });

  test("makes a tree of transfers that go round", () => {
    const tree = growTree(shape(3, [edge(1, 2, 10), edge(2, 3, 20), edge(3, 1, 30)]));
    for (let node = 0; node < 4; node++) {
      let steps = 0;
      for (let at = node; at >= 0 && steps < 9; steps++) {
        at = tree.limbs[at]?.parent ?? -1;
      }
      expect(steps).toBeLessThan(9);
    }
  });

  test("hangs a worker on the node that gave it most, when it is of all files", () => {
    const edges = [edge(0, 1, 10), edge(0, 2, 20), edge(1, 2, 30), edge(1, 2, 40), edge(2, 1, 50)];
    const tree = growTree({ ...shape(2, edges), file: null });
    expect(tree.limbs.map((limb) => limb.parent)).toEqual([-1, 0, 1]);
  });

  test("leaves out edges to nodes that are not told, and grows of nothing", () => {
    expect(growTree(shape(1, [edge(0, 7, 10)])).limbs.length).toBe(2);
    expect(growTree({ nodes: [], edges: [], file: null })).toEqual({
      root: -1,
      limbs: [],
      children: [],
    });
  });
});

describe("layoutVine()", () => {
  test("keeps 500 workers in the box and apart, however they were reached", () => {
    for (const vine of [spread(500, 500), spread(500, 3), spread(500, 40)]) {
      const { places } = layoutVine(vine, box);
      for (const { x, y } of places) {
        expect(x >= 0 && x <= box.widthPx && y >= 0 && y <= box.heightPx).toBe(true);
      }
      expect(closestPx(vine, box)).toBeGreaterThan(3);
    }
  });

  test("keeps 60 workers apart on a phone", () => {
    expect(closestPx(spread(60, 3), { widthPx: 360, heightPx: 480, marginPx: 12, sidePx: 12 }))
      .toBeGreaterThan(5);
  });

  test("puts generations further from the root one after the other, and the root below", () => {
    const vine = spread(39, 3);
    const { tree, places } = layoutVine(vine, { ...box, widthPx: box.heightPx });
    const root = places[tree.root];
    expect(root?.x).toBe(box.heightPx / 2);
    for (const [node, limb] of tree.limbs.entries()) {
      const parent = places[limb.parent];
      const place = places[node];
      if (parent !== undefined && place !== undefined && root !== undefined) {
        expect(Math.hypot((place.x - root.x) * 1.6, place.y - root.y))
          .toBeGreaterThan(Math.hypot((parent.x - root.x) * 1.6, parent.y - root.y) * 0.99);
      }
    }
  });

  test("gives the same places each time", () => {
    expect(layoutVine(spread(200, 4), box)).toEqual(layoutVine(spread(200, 4), box));
  });

  test("grows straight up when there is one worker", () => {
    const { places } = layoutVine(spread(1, 1), box);
    expect(places[1]?.x).toBeCloseTo(600);
    expect(places[1]?.y).toBeLessThan(places[0]?.y ?? 0);
  });
});
