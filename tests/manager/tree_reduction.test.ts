import { expect, test } from "bun:test";

import { TreeReduction } from "../../manager/tree_reduction.ts";

/** Feeds all, combines in the order in which groups come, and returns what is left. */
function reduce(count: number, arity: number): { result: unknown; names: string[] } {
  const tree = new TreeReduction(arity);
  const names: string[] = [];
  let fed = 0;
  while (true) {
    const group = tree.next();
    if (group !== undefined) {
      names.push(group.name);
      group.settle(group.values.join(""));
    } else if (tree.isFed) {
      return { result: tree.result(), names };
    } else {
      const items = Array.from({ length: Math.min(arity, count - fed) }, (_, at) => {
        return String.fromCharCode(97 + fed + at);
      });
      fed += items.length;
      tree.feed(items);
    }
  }
}

test("TreeReduction keeps the order of any number of items at any arity", () => {
  for (const arity of [2, 3, 5]) {
    for (let count = 1; count <= 26; count++) {
      expect(reduce(count, arity).result).toBe("abcdefghijklmnopqrstuvwxyz".slice(0, count));
    }
  }
});

test("TreeReduction combines what is there before it takes more items", () => {
  expect(reduce(5, 2).names).toEqual([
    "items 0 to 1",
    "items 2 to 3",
    "items 0 to 3",
    "items 0 to 4",
  ]);
});

test("TreeReduction refuses to make one of nothing", () => {
  const tree = new TreeReduction(2);
  tree.feed([]);
  expect(() => tree.result()).toThrow("Cannot reduce no items to one: expected one at least");
});
