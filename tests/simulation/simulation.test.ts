import process from "node:process";

import { expect, test } from "bun:test";

import type { Scenario } from "./scenario.ts";
import { simulate } from "./simulator.ts";

const CALM: Omit<Scenario, "seed"> = {
  taskCount: 60,
  workerCount: 4,
  disturbanceCount: 0,
  faultChance: 0,
  failChance: 0,
  cancelCount: 0,
};

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
  expect(alone.urlFetches).toBe(4);
});

test("simulate() gives the same story for the same seed", () => {
  const scenario = { ...CALM, seed: 7, disturbanceCount: 8, faultChance: 0.05 };
  expect(simulate(scenario).story).toEqual(simulate(scenario).story);
});

/** What a cluster does to a workflow besides breaking connections. */
const HARDSHIP: Partial<Scenario> = {
  meddleChance: 0.03,
  hangChance: 0.01,
  fullChance: 0.01,
  longChance: 0.05,
  partitionChance: 0.2,
};

for (let seed = 1; seed <= 150; seed++) {
  test(`simulate() loses no task though workers break and come back (seed ${seed})`, () => {
    const disturbed = { disturbanceCount: 4 + seed % 12, faultChance: 0.02 * (seed % 4) };
    const hardship = seed % 2 === 0 ? { ...HARDSHIP, slowWorkerCount: seed % 3 } : {};
    const { outcomes, messages, state } = simulate({ ...CALM, ...disturbed, ...hardship, seed });
    const failures = [...outcomes].filter(([, outcome]) => outcome !== "success");
    expect(failures.map(([taskId, outcome]) => [taskId, outcome, messages.get(taskId)])).toEqual(
      [],
    );
    expect(state.tasks.size).toBe(0);
  });
}

/** Walls between hosts that stay: temps go by way of the manager, and no try is lost to that. */
for (let seed = 501; seed <= 560; seed++) {
  test(`simulate() brings every file to who needs it though peers are walled off (seed ${seed})`, () => {
    const { outcomes, messages, state } = simulate({
      ...CALM,
      seed,
      retries: 0,
      wallChance: [0.3, 0.7, 1][seed % 3]!,
      hiddenChance: seed % 2 === 0 ? 0.4 : 0,
      partitionChance: seed % 5 === 0 ? 0.5 : 0,
      disturbanceCount: seed % 4 === 0 ? 6 : 0,
      ...(seed % 7 === 0 ? { policies: { peerTransfers: false } } : {}),
    });
    const failures = [...outcomes].filter(([, outcome]) => outcome !== "success");
    expect(failures.map(([taskId]) => messages.get(taskId))).toEqual([]);
    expect(state.tasks.size).toBe(0);
  });
}

const PRUNINGS = ["never", "consumed", "depth:1", "depth:2", "depth:3"] as const;

/** Copies of temps are made, go again and are lost, while everything else goes wrong. */
for (let seed = 2001; seed <= 2080; seed++) {
  test(`simulate() keeps as many copies of temps as are wanted, and no more (seed ${seed})`, () => {
    const { outcomes, messages, state } = simulate({
      ...CALM,
      ...(seed % 2 === 0 ? HARDSHIP : {}),
      ...(seed % 3 === 0 ? { wallChance: 0.3 } : {}),
      seed,
      disturbanceCount: seed % 12,
      faultChance: 0.02 * (seed % 4),
      policies: {
        replicas: 1 + seed % 3,
        pruneTemps: PRUNINGS[seed % 5]!,
        pruneExtraReplicas: seed % 4 === 0,
        transfersPerWorker: seed % 7 === 0 ? 1 : 4,
      },
      tunedTo: seed % 6 === 0
        ? { replicas: 3, pruneTemps: "never" }
        : { replicas: 1 + seed % 2, pruneTemps: "consumed", pruneExtraReplicas: true },
    });
    const failures = [...outcomes].filter(([, outcome]) => outcome !== "success");
    expect(failures.map(([taskId]) => messages.get(taskId))).toEqual([]);
    expect(state.tasks.size).toBe(0);
  });
}

/** Disks that hold a few files: what is idle goes, what has no room waits, and all gets done. */
for (let seed = 701; seed <= 760; seed++) {
  test(`simulate() gets through on disks that hold a part of the files (seed ${seed})`, () => {
    const { outcomes, messages, state } = simulate({
      ...CALM,
      seed,
      diskBytes: [31_000_000, 33_000_000, 38_000_000][seed % 3]!,
      disturbanceCount: seed % 2 === 0 ? 6 : 0,
      faultChance: seed % 4 === 0 ? 0.03 : 0,
    });
    const failures = [...outcomes].filter(([, outcome]) => outcome !== "success");
    expect(failures.map(([taskId]) => messages.get(taskId))).toEqual([]);
    expect(state.tasks.size).toBe(0);
  });
}

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
    for (let seed = 1; seed <= 20; seed++) {
      const { state } = simulate({ ...CALM, seed, disturbanceCount: 12, policies: { replicas } });
      count += state.counters.recoveries;
    }
    return count;
  };
  const [alone, doubled] = [recoveries(1), recoveries(2)];
  process.stdout.write(`recoveries in 20 runs: ${alone} with one copy, ${doubled} with two\n`);
  expect(doubled).toBeLessThan(alone / 2);
});

for (let seed = 1001; seed <= 1080; seed++) {
  test(`simulate() settles every task once though tasks fail and are cancelled (seed ${seed})`, () => {
    const { outcomes, state } = simulate({
      ...CALM,
      ...(seed % 3 === 0 ? HARDSHIP : {}),
      seed,
      disturbanceCount: seed % 10,
      faultChance: 0.03,
      failChance: 0.05,
      cancelCount: 5,
      policies: { recoveryTries: 3, dispatchAheadMs: 0, dispatchAhead: 1 + seed % 3 },
    });
    expect(outcomes.size).toBe(60);
    expect(state.tasks.size).toBe(0);
  });
}
