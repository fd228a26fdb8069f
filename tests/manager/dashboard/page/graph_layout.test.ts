import { describe, expect, test } from "bun:test";

import {
  type GraphBox,
  type GraphLayout,
  layoutGraph,
  nearestRising,
} from "../../../../manager/dashboard/page/graph_layout.ts";

function boxes(ids: readonly string[]): readonly GraphBox[] {
  return ids.map((id) => ({ id, widthPx: 120, heightPx: 36 }));
}

function edges(text: string): readonly { readonly from: string; readonly to: string }[] {
  return text.split(" ").map((pair) => {
    const [from = "", to = ""] = pair.split(">");
    return { from, to };
  });
}

function overlapCount({ boxes }: GraphLayout): number {
  let count = 0;
  for (const [index, left] of boxes.entries()) {
    for (const right of boxes.slice(index + 1)) {
      const isBeside = Math.abs(left.x - right.x) >= (left.widthPx + right.widthPx) / 2;
      const isAbove = Math.abs(left.y - right.y) >= (left.heightPx + right.heightPx) / 2;
      count += isBeside || isAbove ? 0 : 1;
    }
  }
  return count;
}

/** One file that `width` tasks read, each with an output that one task reads. */
function fanOut(width: number): GraphLayout {
  const tasks = Array.from({ length: width }, (_, at) => at);
  return layoutGraph(
    boxes(["in", ...tasks.flatMap((at) => [`t${at}`, `f${at}`]), "sum", "out"]),
    [
      ...tasks.flatMap((at) => [
        { from: "in", to: `t${at}` },
        { from: `t${at}`, to: `f${at}` },
        { from: `f${at}`, to: "sum" },
      ]),
      { from: "sum", to: "out" },
    ],
  );
}

describe("layoutGraph()", () => {
  test("puts each box right of all that lead to it", () => {
    const layout = layoutGraph(boxes([..."abcde"]), edges("a>b b>c a>c d>c c>e"));
    const layers = Object.fromEntries(layout.boxes.map((box) => [box.id, box.layer]));
    expect(layers).toEqual({ a: 0, b: 1, c: 2, d: 1, e: 3 });
    for (const [index, { from, to }] of edges("a>b b>c a>c d>c c>e").entries()) {
      const points = layout.edges.find((edge) => edge.index === index)?.points ?? [];
      const boxOf = (id: string) => layout.boxes.find((box) => box.id === id);
      expect(points[0]?.x).toBe((boxOf(from)?.x ?? 0) + 60);
      expect(points.at(-1)?.x).toBe((boxOf(to)?.x ?? 0) - 60);
    }
  });

  test("bends a long edge around the boxes that it passes", () => {
    const layout = layoutGraph(boxes([..."abc"]), edges("a>b b>c a>c"));
    const long = layout.edges.find((edge) => edge.index === 2);
    const passed = layout.boxes[1];
    expect(long?.points.length).toBe(3);
    expect(Math.abs((long?.points[1]?.y ?? 0) - (passed?.y ?? 0))).toBeGreaterThanOrEqual(18);
  });

  test("uncrosses what needs not cross", () => {
    const layout = layoutGraph(boxes([..."abcdef"]), edges("a>e b>f c>d"));
    const y = (id: string) => layout.boxes.find((box) => box.id === id)?.y ?? 0;
    for (const [one, other] of [["ae", "bf"], ["ae", "cd"], ["bf", "cd"]]) {
      const [from = "", to = ""] = one ?? "";
      const [otherFrom = "", otherTo = ""] = other ?? "";
      expect(Math.sign(y(from) - y(otherFrom))).toBe(Math.sign(y(to) - y(otherTo)));
    }
  });

  test("sorts boxes by those that they lead to", () => {
    const layout = layoutGraph(boxes([..."abcxy"]), edges("a>x a>y b>x c>y"));
    const y = (id: string) => layout.boxes.find((box) => box.id === id)?.y ?? 0;
    expect(Math.sign(y("a") - y("b"))).toBe(Math.sign(y("c") - y("a")));
  });

  test("draws a cycle with one edge that goes back", () => {
    const layout = layoutGraph(boxes([..."abc"]), edges("a>b b>c c>a"));
    expect(layout.edges.map((edge) => edge.isBackward)).toEqual([false, false, true]);
    const back = layout.edges[2];
    expect(back?.points[0]?.x).toBeGreaterThan(back?.points.at(-1)?.x ?? Infinity);
  });

  test("lets no box of hundreds overlap another, and keeps a wide layer in sight", () => {
    const layout = fanOut(300);
    expect(overlapCount(layout)).toBe(0);
    expect(layout.heightPx).toBeLessThan(300 * 36 / 3);
    expect(layout.boxes.every((box) => box.x > 0 && box.y > 0)).toBe(true);
    expect(overlapCount(fanOut(7))).toBe(0);
  });

  test("gives the same places each time", () => {
    expect(fanOut(40)).toEqual(fanOut(40));
  });

  test("leaves out edges to what is not there and of a box with itself", () => {
    const layout = layoutGraph(boxes([..."ab"]), edges("a>b a>a a>x x>b"));
    expect(layout.edges.map((edge) => edge.index)).toEqual([0]);
    expect(layoutGraph([], []).heightPx).toBe(0);
  });
});

test("nearestRising() moves what falls to its mean, and nothing else", () => {
  expect(nearestRising([1, 2, 5])).toEqual([1, 2, 5]);
  expect(nearestRising([1, 6, 2, 9])).toEqual([1, 4, 4, 9]);
  expect(nearestRising([3, 2, 1])).toEqual([2, 2, 2]);
});

test("layoutGraph() leads edges past the boxes of a row that has several columns", () => {
  const layout = fanOut(120);
  for (const { points } of layout.edges) {
    for (const [step, to] of points.entries()) {
      const from = points[step - 1];
      if (from === undefined || from.y !== to.y) continue;
      const touched = layout.boxes.filter((box) =>
        Math.abs(box.y - to.y) < box.heightPx / 2 &&
        box.x - box.widthPx / 2 < to.x - 1 && box.x + box.widthPx / 2 > from.x + 1
      );
      expect(touched).toEqual([]);
    }
  }
});
