import { expect, test } from "bun:test";
import process from "node:process";

import {
  type ManagerConfig,
  type ManagerOptions,
  readManagerOptions,
  readPolicies,
} from "../../manager/config.ts";
import { DEFAULT_POLICIES } from "../../manager/core/policy.ts";

/** Options as a script without types may give them. */
const read = (options: unknown) => readManagerOptions(options as ManagerOptions);

/** What a manager is without any option. */
const DEFAULTS: ManagerConfig = {
  host: "127.0.0.1",
  port: 0,
  advertise: [],
  isInsecure: false,
  workers: { count: 0 },
  policies: DEFAULT_POLICIES,
  categories: [],
  records: { database: true, vineLogs: true, logs: true, outputs: true },
  logLevel: "info",
  hasDashboard: true,
};

test("readManagerOptions() fills in the defaults, or what a variable says of the dashboard", () => {
  const variable = process.env["TENDRIL_NO_DASHBOARD"];
  try {
    process.env["TENDRIL_NO_DASHBOARD"] = "1";
    expect([read({}).hasDashboard, read({ dashboard: true }).hasDashboard]).toEqual([false, true]);
    delete process.env["TENDRIL_NO_DASHBOARD"];
    expect(read({})).toEqual(DEFAULTS);
  } finally {
    if (variable !== undefined) process.env["TENDRIL_NO_DASHBOARD"] = variable;
  }
});

test("readManagerOptions() takes a run directory or none, and switches of records", () => {
  const records = { database: true, vineLogs: false, logs: true, outputs: true };
  expect(read({ runDirectory: "runs", records: { vineLogs: false }, dashboard: false }))
    .toMatchObject({ runDirectory: "runs", records, hasDashboard: false });
  expect(read({ runDirectory: false }).runDirectory).toBe(false);
  expect(() => read({ runDirectory: true })).toThrow(
    'Cannot take runDirectory of Manager.start "true" as a folder: expected text or false',
  );
  expect(() => read({ runDirectory: "" })).toThrow("runDirectory of Manager.start");
  expect(() => read({ records: { databases: false } })).toThrow(
    /"databases" as an option of records of Manager.start: there are database, vineLogs/,
  );
  expect(() => read({ records: { logs: "no" } })).toThrow("logs of records of Manager.start");
  expect(read({ logLevel: "debug" }).logLevel).toBe("debug");
  expect(() => read({ logLevel: "loud" })).toThrow('Cannot take logLevel of Manager.start "loud"');
  expect(() => read({ dashboard: 0 })).toThrow("dashboard of Manager.start");
});

test("readManagerOptions() takes sizes and durations as text", () => {
  const config = read({
    name: "blast",
    listen: "localhost:9000",
    workers: { count: 3, cores: 2, memory: "2GB" },
    policies: { workerTimeout: "10s", placement: "spread", replicas: 2, pruneTemps: "depth:3" },
  });
  expect(config.port).toBe(9000);
  expect(config.workers).toEqual({ count: 3, cores: 2, memoryBytes: 2e9 });
  expect(config.policies.workerTimeoutMs).toBe(10_000);
  expect(config.policies.placement).toBe("spread");
  expect(config.policies).toMatchObject({ replicas: 2, pruneTemps: "depth:3" });
  expect(read({ workers: 2 }).workers.count).toBe(2);
});

test("readManagerOptions() takes one address, a name, all of them, and what is advertised", () => {
  const at = (listen: string) => {
    const { host, port } = read({ listen });
    return [host, port];
  };
  expect(at("0.0.0.0:80")).toEqual(["0.0.0.0", 80]);
  expect(at(":9123")).toEqual(["::", 9123]);
  expect(at("[fd00::2]:7")).toEqual(["fd00::2", 7]);
  expect(at("node7.cluster")).toEqual(["node7.cluster", 0]);
  expect(read({ advertise: "head" }).advertise).toEqual([{ host: "head" }]);
  expect(read({ advertise: ["head:1", "[fd00::2]"] }).advertise).toEqual([
    { host: "head", port: 1 },
    { host: "fd00::2" },
  ]);
});

test("readManagerOptions() names an unknown option and the valid ones", () => {
  expect(() => read({ wrokers: 2 })).toThrow(
    /Cannot take "wrokers" as an option of Manager.start: there are name, listen, advertise/,
  );
  expect(() => read({ workers: { cout: 1 } })).toThrow(/"cout" as an option of workers/);
  expect(() => read({ policies: { copies: 2 } })).toThrow(/"copies" as an option of policies/);
  expect(() => read(7)).toThrow(TypeError);
});

test("readManagerOptions() refuses values out of range and says what would be right", () => {
  expect(() => read({ workers: -1 })).toThrow(/count of workers .*"-1" as a whole number from 0/);
  expect(() => read({ workers: 1.5 })).toThrow(RangeError);
  expect(() => read({ name: "../x" })).toThrow(/Cannot take name of Manager.start "..\/x"/);
  expect(() => read({ listen: "0.0.0.0:80000" })).toThrow(
    /"0.0.0.0:80000" as an address .*":PORT"/,
  );
  expect(() => read({ listen: "::1:80" })).toThrow(/"\[ADDRESS\]:PORT" for IPv6/);
  expect(() => read({ advertise: ["a", "http://b"] })).toThrow(/Cannot advertise "http:\/\/b"/);
  expect(() => read({ advertise: "0.0.0.0" })).toThrow(/Cannot advertise "0.0.0.0"/);
  expect(() => read({ tls: { cert: "/nowhere", key: "x" } })).toThrow(/Cannot read .*"\/nowhere"/);
  expect(() => read({ tls: { cert: "x" } })).toThrow(/expected \{ cert, key \}/);
  expect(() => read({ policies: { workerTimeout: 1 } })).toThrow(/at least 100 ms/);
  expect(() => read({ policies: { placement: "near" } })).toThrow(/"spread" or "disk"/);
  expect(() => read({ policies: { replicas: 0 } })).toThrow(/a whole number from 1 to 100/);
  for (const pruneTemps of ["always", "depth:0", "depth:10", "depth:", "depth:2.5", 2, null]) {
    const wrong = { policies: { pruneTemps } } as never;
    expect(() => read(wrong)).toThrow(/as "never", "consumed" or "depth:1" to "depth:9"$/);
  }
});

test("readPolicies() keeps what it is not told to change", () => {
  const policies = readPolicies({ dispatchAhead: 3 }, { ...DEFAULT_POLICIES, waitForWorkers: 4 });
  expect(policies).toEqual({ ...DEFAULT_POLICIES, dispatchAhead: 3, waitForWorkers: 4 });
});

test("readPolicies() takes how long instances may be idle, and how long a turn of them is", () => {
  const policies = readPolicies({ libraryIdleTimeout: "90s", libraryTurn: 250 }, DEFAULT_POLICIES);
  const wanted = { libraryIdleTimeoutMs: 90_000, libraryTurnMs: 250 };
  expect(policies).toEqual({ ...DEFAULT_POLICIES, ...wanted });
});

test("readPolicies() takes how long transfers may take, and refuses what would end every one", () => {
  const transfers = {
    transferStallTimeout: "10s",
    transferOutlierFactor: 5,
    minTransferTimeout: "2m",
    defaultTransferRate: "10MB",
  } as const;
  expect(readPolicies(transfers, DEFAULT_POLICIES)).toMatchObject({
    transferStallTimeoutMs: 10_000,
    transferOutlierFactor: 5,
    minTransferTimeoutMs: 120_000,
    defaultTransferRate: 10_000_000,
  });
  const wrong = [
    { transferStallTimeout: 99 },
    { transferOutlierFactor: 0.5 },
    { minTransferTimeout: 0 },
    { defaultTransferRate: 0 },
  ];
  for (const policies of wrong) {
    expect(() => readPolicies(policies, DEFAULT_POLICIES)).toThrow(RangeError);
  }
});
