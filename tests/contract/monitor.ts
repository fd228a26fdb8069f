/** What every monitor does: run on each. */

import { expect, test } from "bun:test";

import { app, inProcess, load } from "../../mod.ts";
import type { AppFact } from "../../manager/core/fact.ts";
import type { Monitor } from "../../manager/dataflow/monitor.ts";

/** A monitor, and what it has noted once it is closed. */
export interface OpenedMonitor {
  readonly monitor: Monitor;
  noted(): Promise<readonly (AppFact & { readonly atMs: number })[]>;
}

/** Tests one of them. */
export function testMonitor(name: string, open: () => OpenedMonitor): void {
  test(`${name} notes each call and each of its states, in order`, async () => {
    const { monitor, noted } = open();
    const beforeMs = Date.now();
    {
      await using _flow = await load({ executors: [inProcess()], monitors: [monitor] });
      const half = app((n: number) => {
        if (n % 2 === 1) throw new RangeError("no half of it");
        return n / 2;
      }, { name: "half", retries: 1 });
      expect(await half(half(8))).toBe(2);
      await half(7).catch(() => {});
    }
    const facts = await noted();
    expect(facts.every(({ atMs }) => atMs >= beforeMs && atMs <= Date.now())).toBe(true);
    const told = facts.map((fact) => {
      return fact.kind === "app_called"
        ? `${fact.callId} ${fact.app}`
        : `${fact.callId} ${fact.state}`;
    });
    const of = (callId: number): string[] => told.filter((one) => one.startsWith(`${callId} `));
    expect(of(1)).toEqual(["1 half", "1 launched", "1 exec_done"]);
    expect(of(2)).toEqual(["2 half", "2 launched", "2 exec_done"]);
    expect(of(3)).toEqual([
      "3 half",
      "3 launched",
      "3 fail_retryable",
      "3 pending",
      "3 launched",
      "3 failed",
    ]);
    expect(facts.find(({ kind, callId }) => kind === "app_called" && callId === 2))
      .toMatchObject({ dependsOn: [1] });
  });
}
