import { expect, test } from "bun:test";

import { readPolicies } from "../../manager/config.ts";
import { DEFAULT_POLICIES } from "../../manager/core/policy.ts";
import { PARAMETER_NAMES, translateParameters } from "../../manager/tune_parameter.ts";

/** What `tune_parameters` of a TaskVine script may state. */
const PARAMETERS = {
  "clean-redundant-replicas": 1,
  "default-transfer-rate": 2_000_000,
  "disconnect-slow-worker-factor": 3,
  "enforce-worker-eviction-interval": 60,
  "file-source-max-transfers": 3,
  "immediate-recovery": 1,
  "keepalive-timeout": 45,
  "load-from-shared-filesystem": 1,
  "max-library-retries": 7,
  "max-workers": 12,
  "min-transfer-timeout": 20,
  "option-blocklist-slow-workers-timeout": 600,
  "resource-submit-multiplier": 1.5,
  "category-steady-n-tasks": 10,
  "disk-proportion-available-to-task": 0.5,
  "force-proportional-resources": 0,
  "proportional-whole-tasks": 1,
  "ramp-down-heuristic": 1,
  "sandbox-grow-factor": 3,
  "shift-disk-load": 1,
  "task-groups": 1,
  "temp-replica-count": 2,
  "transfer-outlier-factor": 20,
  "wait-for-workers": 4,
  "worker-source-max-transfers": 5,
};

test("translateParameters() knows all 45 parameters, three of which have two names", () => {
  expect(PARAMETER_NAMES).toHaveLength(48);
  for (const name of PARAMETER_NAMES) {
    const { policies, notes } = translateParameters({ [name]: 1 });
    expect([name, Object.keys(policies).length + notes.length]).toEqual([name, 1]);
    // What it is translated to, is a policy with that value in its range.
    readPolicies(policies, DEFAULT_POLICIES);
  }
});

test("readPolicies() honours parameters in their own units", () => {
  expect(readPolicies(PARAMETERS, DEFAULT_POLICIES)).toEqual({
    ...DEFAULT_POLICIES,
    pruneExtraReplicas: true,
    defaultTransferRate: 2_000_000,
    minTransferTimeoutMs: 20_000,
    transferOutlierFactor: 20,
    workerEvictionIntervalMs: 60_000,
    transfersPerUrl: 3,
    recovery: "immediate",
    workerTimeoutMs: 45_000,
    sharedFileSystem: true,
    libraryRetries: 7,
    maxWorkers: 12,
    dispatchAhead: 1.5,
    categorySteadyTasks: 10,
    taskDiskShare: 0.5,
    proportionalResources: false,
    proportionalWholeTasks: true,
    rampDown: true,
    sandboxGrowFactor: 3,
    shiftDiskLoad: true,
    slowWorkerFactor: 3,
    slowHostTimeoutMs: 600_000,
    taskGroups: true,
    replicas: 2,
    waitForWorkers: 4,
    transfersPerWorker: 5,
  });
});

test("translateParameters() takes underscores, no limit and truth as TaskVine does", () => {
  expect(translateParameters({ temp_replica_count: 3 }).policies).toEqual({ replicas: 3 });
  expect(translateParameters({ "max-workers": -1 }).policies).toEqual({ maxWorkers: 0 });
  const off = translateParameters({ "disconnect-slow-worker-factor": -1 });
  expect(off.policies).toEqual({ slowWorkerFactor: 0 });
  const { policies } = translateParameters({ "clean-redundant-replicas": true });
  expect(policies).toEqual({ pruneExtraReplicas: true });
});

test("translateParameters() says why a parameter changes nothing", () => {
  const { policies, notes } = translateParameters({ "short-timeout": 5, replicas: 2 });
  expect(policies).toEqual({ replicas: 2 });
  expect(notes).toEqual([
    '"short-timeout" changes nothing here: the manager never waits for a message',
  ]);
});

test("readPolicies() refuses a parameter that is no number, or out of range", () => {
  const read = (policies: object) => () => readPolicies(policies, DEFAULT_POLICIES);
  expect(read({ "temp-replica-count": "many" })).toThrow(
    'Cannot take temp-replica-count "many" as a number',
  );
  expect(read({ "temp-replica-count": 0 })).toThrow(
    'Cannot take replicas of policies "0" as a whole number from 1 to 100',
  );
  expect(read({ "temp-replicas": 2 })).toThrow(
    'Cannot take "temp-replicas" as an option of policies: there are replicas',
  );
});
