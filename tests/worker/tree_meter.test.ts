import { expect, test } from "bun:test";

import { OomKills } from "../../worker/oom_kills.ts";
import { type ProcessEntry, readProcess } from "../../worker/process_table.ts";
import { TreeMeter } from "../../worker/tree_meter.ts";
import { type TreeUse, UsageRecord } from "../../worker/usage_record.ts";
import { until } from "./task_fixture.ts";

/** This process, as if it had so much in memory. */
function member(memoryBytes: number): ProcessEntry {
  return { ...readProcess(process.pid)!, memoryBytes };
}

/** A tree in which each look finds the next of these, and the last one then. */
function tree(...looks: readonly (readonly number[])[]) {
  const found = { looks: 0 };
  const look = () => {
    const sizes = looks[Math.min(found.looks, looks.length - 1)] ?? [];
    found.looks += 1;
    return Promise.resolve({ members: sizes.map(member) });
  };
  return { found, process: { look } };
}

function watch(
  meter: TreeMeter,
  { process }: ReturnType<typeof tree>,
  limitBytes = Infinity,
): { uses: TreeUse[]; record: UsageRecord; watched: ReturnType<TreeMeter["watch"]> } {
  const uses: TreeUse[] = [];
  const record = new UsageRecord({ hasSeries: false });
  const saw = (use: TreeUse) => void uses.push(use);
  return { uses, record, watched: meter.watch({ process, record, limitBytes, saw }) };
}

test("TreeMeter looks often at what is near its limit, and the less at the rest the older it is", async () => {
  const meter = new TreeMeter({ capacityBytes: 0 });
  const [near, far] = [tree([90e6]), tree([90e6])];
  watch(meter, near, 100e6);
  watch(meter, far);
  await until("five looks at what is far", () => far.found.looks >= 5);
  expect(near.found.looks).toBeGreaterThan(10);
  meter.close();
});

test("TreeMeter takes what several processes seem to have for theirs once it knows their shares", async () => {
  const meter = new TreeMeter({ capacityBytes: 0 });
  // Both are this process: what it has is counted twice until its page tables are walked.
  const twice = 10e9;
  const { uses, record } = watch(meter, tree([twice, twice]), 15e9);
  await until("a look", () => uses.length >= 3);
  for (const { memoryBytes, processCount } of uses) {
    expect(memoryBytes).toBeLessThan(15e9);
    expect(memoryBytes).toBeGreaterThan(1e6);
    expect(processCount).toBe(2);
  }
  expect(record.memoryBytesMax).toBeLessThan(15e9);
  meter.close();
});

test("TreeMeter tells nothing of a tree that is watched no more", async () => {
  const meter = new TreeMeter({ capacityBytes: 0 });
  const gone = tree([1e6]);
  const { uses, watched } = watch(meter, gone);
  watched[Symbol.dispose]();
  const other = tree([1e6]);
  watch(meter, other);
  await until("a look at the other", () => other.found.looks > 0);
  expect(uses).toEqual([]);
  expect(gone.found.looks).toBe(0);
  meter.close();
});

test("isOomVictim() is the largest tree, when the kernel has just ended something", async () => {
  let kills = 7;
  const oomKills = new OomKills(() => `nr_free_pages 1\noom_kill ${kills}\n`);
  const meter = new TreeMeter({ capacityBytes: 0, oomKills });
  const [small, large] = [tree([5e6]), tree([9e6])];
  const [smallWatch, largeWatch] = [watch(meter, small), watch(meter, large)];
  await until("looks", () => smallWatch.uses.length > 0 && largeWatch.uses.length > 0);
  expect(largeWatch.watched.isOomVictim()).toBe(false);
  kills += 1;
  expect(smallWatch.watched.isOomVictim()).toBe(false);
  kills += 1;
  expect(largeWatch.watched.isOomVictim()).toBe(true);
  expect(largeWatch.watched.isOomVictim()).toBe(false);
  meter.close();
});
