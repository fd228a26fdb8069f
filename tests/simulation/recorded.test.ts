import { expect, test } from "bun:test";

import type { ManagerEvent } from "../../manager/core/event.ts";
import type { Fact } from "../../manager/core/fact.ts";
import type { CacheName, FileId } from "../../shared/ids.ts";
import { newManagerState } from "../../manager/core/new_state.ts";
import { DEFAULT_POLICIES } from "../../manager/core/policy.ts";
import { step } from "../../manager/core/step.ts";
import { RecordCheck } from "./recorded.ts";
import { recorded, SCENARIOS, simulateNamed } from "./scenarios.ts";
import { simulate } from "./simulator.ts";

/** Seeds of which something was not told, or not recorded, once. */
const SEEDS: readonly (readonly [scenario: string, seed: number])[] = [
  ["disturbed", 4],
  ["stalling", 3],
  ["small_disks", 2],
  ["failing", 3],
  ["controlled", 5],
  ["nondeterministic", 3],
  ["chains", 1],
  ["turns", 2],
  ["libraries", 4],
  ["governed", 2],
];

function scenarioOf(name: string) {
  return recorded(SCENARIOS.find((scenario) => scenario.name === name)!);
}

// More seeds: scripts/simulate --records.
for (const [name, seed] of SEEDS) {
  test(`simulate() of "${name}" has recorded what happened (seed ${seed})`, () => {
    expect(simulateNamed(scenarioOf(name), seed).state.tasks.size).toBe(0);
  });
}

/** Facts without which records are wrong, and a run in which they are told. */
const NEEDED: readonly (readonly [kind: Fact["kind"], scenario: string, seed: number])[] = [
  ["task_submitted", "disturbed", 4],
  ["task_ended", "disturbed", 4],
  ["try_dispatched", "disturbed", 4],
  ["try_started", "disturbed", 4],
  ["try_returned", "disturbed", 4],
  ["try_ended", "disturbed", 4],
  ["outputs_lost", "disturbed", 16],
  ["recovery_started", "governed", 2],
  ["worker_joined", "disturbed", 4],
  ["worker_left", "disturbed", 4],
  ["file_declared", "disturbed", 4],
  ["file_bound", "disturbed", 4],
  ["file_forgotten", "disturbed", 4],
  ["replica_ready", "disturbed", 4],
  ["replica_gone", "disturbed", 4],
  ["transfer_started", "disturbed", 4],
  ["transfer_ended", "disturbed", 4],
  ["transfer_failed", "disturbed", 4],
  ["transfer_called_off", "disturbed", 4],
  ["library_instance", "governed", 2],
];

for (const [unheard, name, seed] of NEEDED) {
  test(`simulate() finds that records do not know of ${unheard}`, () => {
    const scenario = { ...scenarioOf(name).of(seed), records: { unheard } };
    expect(() => simulate(scenario)).toThrow(/^(Recorded|Status|Tries|A try|A mount)/);
  });
}

for (const unheard of [undefined, "file_merged"] as const) {
  test(`RecordCheck.compare() follows merged files, ${unheard ?? "nothing"} unheard`, () => {
    const state = newManagerState({
      managerId: "manager",
      epoch: 1,
      seed: 1,
      policies: DEFAULT_POLICIES,
    });
    const records = unheard === undefined ? {} : { unheard };
    const check = new RecordCheck(state, { seed: 1, records });
    const [first, second] = [1 as FileId, 2 as FileId];
    const origin = { kind: "manager" } as const;
    const common = {
      kind: "file_declared",
      origin,
      level: "workflow",
      peerTransfer: true,
    } as const;
    const events: readonly ManagerEvent[] = [
      { ...common, fileId: first, bound: BOUND },
      { ...common, fileId: second },
      { kind: "file_bound", fileId: second, bound: BOUND },
      { kind: "file_undeclared", fileId: first },
      { kind: "file_undeclared", fileId: second },
    ];
    const run = () => {
      for (const event of events) {
        check.hear(step(state, [{ ...event, atMs: 1 }]).facts);
        check.compare();
      }
      check.end();
    };
    if (unheard !== undefined) {
      return expect(run).toThrow("Recorded: file 2 is null, and should be undefined");
    }
    run();
    expect(state.files.size).toBe(0);
  });
}

const BOUND = {
  name: "buffer-1" as CacheName,
  sizeBytes: 10,
  digest: "d",
  isDirectory: false,
  isExecutable: false,
};
