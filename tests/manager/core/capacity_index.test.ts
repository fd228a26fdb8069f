import { expect, test } from "bun:test";

import {
  type CapacityIndex,
  type CapacityMember,
  isIndexed,
  memberAt,
  newCapacityIndex,
  newCapacityPlace,
  removeCapacity,
  setCapacity,
  visitFreest,
} from "../../../manager/core/capacity_index.ts";
import { newRandom, nextRandomBelow } from "../../../shared/random.ts";

interface Member extends CapacityMember {
  readonly name: string;
}

function member(name: string): Member {
  return { name, place: newCapacityPlace() };
}

function freestFirst(index: CapacityIndex<Member>): string[] {
  const names: string[] = [];
  visitFreest(index, ({ name }) => {
    names.push(name);
    return false;
  });
  return names;
}

test("visitFreest() goes from the freest down, below zero too", () => {
  const index = newCapacityIndex<Member>();
  setCapacity(index, member("owes"), -3);
  setCapacity(index, member("some"), 2);
  setCapacity(index, member("most"), 64);
  setCapacity(index, member("none"), 0);
  expect(freestFirst(index)).toEqual(["most", "some", "none", "owes"]);
});

test("visitFreest() stops when it is told to", () => {
  const index = newCapacityIndex<Member>();
  for (const [free, name] of ["low", "middle", "high"].entries()) {
    setCapacity(index, member(name), free);
  }
  const seen: string[] = [];
  visitFreest(index, ({ name }) => seen.push(name) === 2);
  expect(seen).toEqual(["high", "middle"]);
});

test("setCapacity() moves a member when its whole units change", () => {
  const index = newCapacityIndex<Member>();
  const [a, b] = [member("a"), member("b")];
  setCapacity(index, a, 4);
  setCapacity(index, b, 3);
  setCapacity(index, a, 2.999_999_9);
  setCapacity(index, b, 4.5);
  expect(freestFirst(index)).toEqual(["b", "a"]);
  setCapacity(index, b, 0);
  expect(freestFirst(index)).toEqual(["a", "b"]);
});

test("removeCapacity() leaves nothing behind", () => {
  const index = newCapacityIndex<Member>();
  const a = member("a");
  setCapacity(index, a, 4);
  removeCapacity(index, a);
  removeCapacity(index, member("never added"));
  expect([freestFirst(index), index.count, isIndexed(a)]).toEqual([[], 0, false]);
  setCapacity(index, a, 1);
  expect(freestFirst(index)).toEqual(["a"]);
});

test("setCapacity() keeps every member in its bucket through thousands of moves", () => {
  const random = newRandom(11);
  const index = newCapacityIndex<Member>();
  const members = Array.from({ length: 50 }, (_, number) => member(`${number}`));
  const free = new Map<string, number>();
  for (let move = 0; move < 5_000; move++) {
    const moved = members[nextRandomBelow(random, members.length)]!;
    if (nextRandomBelow(random, 10) === 0) {
      removeCapacity(index, moved);
      free.delete(moved.name);
    } else {
      free.set(moved.name, nextRandomBelow(random, 40) - 20);
      setCapacity(index, moved, free.get(moved.name)!);
    }
  }
  const found = freestFirst(index);
  expect(found.toSorted()).toEqual([...free.keys()].toSorted());
  const order = found.map((name) => free.get(name)!);
  expect(order).toEqual(order.toSorted((a, b) => b - a));
});

test("visitFreest() begins among equals where it is told to", () => {
  const index = newCapacityIndex<Member>();
  for (const name of ["a", "b", "c"]) setCapacity(index, member(name), 2);
  setCapacity(index, member("more"), 3);
  const names: string[] = [];
  visitFreest(index, ({ name }) => {
    names.push(name);
    return false;
  }, 4);
  expect(names).toEqual(["more", "b", "c", "a"]);
});

test("memberAt() reaches every member once", () => {
  const index = newCapacityIndex<Member>();
  for (const [position, name] of ["a", "b", "c", "d"].entries()) {
    setCapacity(index, member(name), position % 2);
  }
  const names = [0, 1, 2, 3].map((number) => memberAt(index, number)?.name);
  expect(names.toSorted()).toEqual(["a", "b", "c", "d"]);
  expect(memberAt(index, 4)).toBeUndefined();
});
