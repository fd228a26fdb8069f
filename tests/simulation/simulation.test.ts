import process from "node:process";

import { expect, test } from "bun:test";

import { CALM, SCENARIOS, simulateNamed } from "./scenarios.ts";
import { simulate } from "./simulator.ts";

test("simulate() completes every task of a calm workflow", () => {
  const { outcomes } = simulate({ ...CALM, seed: 1 });
  expect([...outcomes.values()].every((outcome) => outcome === "success")).toBe(true);
  expect(outcomes.size).toBe(60);
});

test("simulate() has each url fetched once per cluster, and outputs stored at theirs", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { urlFetches, stored, state } = simulate({ ...CALM, seed });
    expect(urlFetches).toBe(1);
    expect(stored).toBeGreaterThan(0);
    expect(state.counters.workerToUrlBytes).toBeGreaterThan(0);
  }
  const alone = simulate({ ...CALM, seed: 1, policies: { peerTransfers: false } });
  expect(alone.urlFetches).toBeGreaterThan(1);
});

test("simulate() gives the same story for the same seed", () => {
  const scenario = { ...CALM, seed: 7, disturbanceCount: 8, faultChance: 0.05 };
  expect(simulate(scenario).story).toEqual(simulate(scenario).story);
});

// More seeds: scripts/simulate.
for (const scenario of SCENARIOS) {
  const { claim, tested: { first, last } } = scenario;
  for (let seed = first; seed <= last; seed++) {
    test(`simulate() ${claim} (seed ${seed})`, () => {
      expect(simulateNamed(scenario, seed).state.tasks.size).toBe(0);
    });
  }
}

test("simulate() of growing tries stops some, and moves temps that do not come back", () => {
  const seen = { stopped: 0, begun: 0, back: 0 };
  for (let seed = 3201; seed <= 3220; seed++) {
    const { room, shifts } = simulate({
      ...CALM,
      seed,
      growChance: 0.3,
      diskBytes: [33_000_000, 400_000_000],
      policies: { shiftDiskLoad: true },
    });
    seen.stopped += room.stopped;
    seen.begun += shifts.begun;
    seen.back += shifts.back;
  }
  process.stdout.write(`20 runs on unequal disks: ${JSON.stringify(seen)}\n`);
  expect(seen.stopped).toBeGreaterThan(0);
  expect(seen.begun).toBeGreaterThan(20);
  expect(seen.back).toBeLessThan(seen.begun / 10);
});

test("simulate() of small disks has workers ask for room and give tries back", () => {
  const room = { asked: 0, givenBack: 0 };
  for (let seed = 701; seed <= 710; seed++) {
    const { asked, givenBack } = simulate({ ...CALM, seed, diskBytes: 31_000_000 }).room;
    room.asked += asked;
    room.givenBack += givenBack;
  }
  expect(room.asked).toBeGreaterThan(10);
  expect(room.givenBack).toBeGreaterThan(0);
});

test("simulate() runs far fewer tasks again when there are two copies of each temp", () => {
  const recoveries = (replicas: number): number => {
    let count = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const { state } = simulate({ ...CALM, seed, disturbanceCount: 12, policies: { replicas } });
      count += state.counters.recoveries;
    }
    return count;
  };
  const [alone, doubled] = [recoveries(1), recoveries(2)];
  process.stdout.write(`recoveries in 30 runs: ${alone} with one copy, ${doubled} with two\n`);
  expect(doubled).toBeLessThan(alone / 2);
}, 60_000);

test("simulate() of damage drops copies, and of other bytes counts them", () => {
  const scenario = SCENARIOS.find(({ name }) => name === "nondeterministic")!;
  const found = { replicasDamaged: 0, nondeterministic: 0 };
  for (let seed = 4001; seed <= 4003; seed++) {
    const { counters } = simulateNamed(scenario, seed).state;
    found.replicasDamaged += counters.replicasDamaged;
    found.nondeterministic += counters.nondeterministic;
  }
  expect(found.replicasDamaged).toBeGreaterThan(5);
  expect(found.nondeterministic).toBeGreaterThan(5);
});
