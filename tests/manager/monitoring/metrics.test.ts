import { expect, test } from "bun:test";

import type { ManagerEvent } from "../../../manager/core/event.ts";
import { summarize } from "../../../manager/core/summary.ts";
import { Metrics } from "../../../manager/monitoring/metrics.ts";
import { ManagerFixture } from "../core/fixture.ts";
import { checkMetrics, HAS_PROMTOOL } from "./promtool.ts";

/** A core whose facts are counted. */
class Counted extends ManagerFixture {
  readonly metrics: Metrics = new Metrics({
    version: "1.2.3",
    numbers: () => summarize(this.state),
    refused: () => ({ handshake: 3, lie: 0 }),
    unplaceableCount: () => 4,
    apps: () => [{ app: "align", state: "memo_done", count: 3 }],
    records: () => ({ waiting: 5, leftOut: 6 }),
  });

  override feed(...events: ManagerEvent[]): void {
    super.feed(...events);
    this.metrics.hear(this.facts, this.nowMs);
  }

  /** The value of the series that the text has by that name. */
  read(series: string): number {
    const line = this.metrics.render("text").split("\n").find((line) =>
      line.startsWith(`${series} `)
    );
    return Number(line?.slice(series.length + 1));
  }
}

test("Metrics counts tasks and tries by how they end, and those that have not by where they are", () => {
  const counted = new Counted();
  counted.joins("a", { cores: 3 });
  const [good, bad] = [counted.submits({}), counted.submits({ retries: 1 })];
  counted.submits({ cores: 9 });
  counted.starts("a", good, bad);
  expect(counted.read('tendril_tasks{state="ready"}')).toBe(1);
  expect(counted.read('tendril_tasks{state="running"}')).toBe(2);
  expect(counted.read('tendril_tasks{state="dispatched"}')).toBe(0);
  counted.finishes("a", good);
  counted.finishes("a", bad, { outcome: "exit" });
  expect(counted.read('tendril_tasks{state="dispatched"}')).toBe(1);
  counted.finishes("a", bad, { outcome: "signal" });
  expect(counted.read('tendril_tasks_submitted_total{kind="command"}')).toBe(3);
  expect(counted.read('tendril_tasks_ended_total{kind="command",outcome="success"}')).toBe(1);
  expect(counted.read('tendril_tasks_ended_total{kind="command",outcome="signal"}')).toBe(1);
  expect(counted.read("tendril_tries_dispatched_total")).toBe(3);
  expect(counted.read("tendril_tries_started_total")).toBe(2);
  expect(counted.read('tendril_tries_ended_total{outcome="exit"}')).toBe(1);
});

test("Metrics spreads the durations of last tries by category, and not of what never ran", () => {
  const counted = new Counted();
  counted.joins("a", { cores: 2 });
  for (const ranMs of [50, 2_000]) {
    counted.nowMs += 10_000;
    counted.finishes("a", counted.submits({ category: "fit" }), { ranMs });
  }
  counted.cancels(counted.submits({ category: "fit" }));
  const series = (name: string) => `tendril_task_duration_seconds_${name}`;
  expect(counted.read(series('bucket{category="fit",le="0.1"}'))).toBe(1);
  expect(counted.read(series('bucket{category="fit",le="3"}'))).toBe(2);
  expect(counted.read(series('count{category="fit"}'))).toBe(2);
  expect(counted.read(series('sum{category="fit"}'))).toBeCloseTo(2.05);
});

test("Metrics counts transfers and their bytes by route, as the core does", () => {
  const counted = new Counted();
  counted.joins("a", { cores: 2 });
  const output = counted.temp("made");
  const maker = counted.submits({ inputs: [counted.local("input")], outputs: [output] });
  counted.failsToBring("a", { movedBytes: 300 });
  counted.passes(1_000);
  counted.nowMs += 2_000;
  counted.brings("a");
  counted.finishes("a", maker);
  counted.feed({ kind: "file_requested", fileId: output, requestId: 1 });
  counted.delivers(output);
  const route = (labels: string) => `tendril_transfers_total{route="${labels}"}`;
  expect(counted.read(route('manager_to_worker",result="failed'))).toBe(1);
  expect(counted.read(route('manager_to_worker",result="done'))).toBe(1);
  expect(counted.read(route('worker_to_manager",result="done'))).toBe(1);
  const { managerToWorkerBytes, workerToManagerBytes } = counted.state.counters;
  const bytes = "tendril_transferred_bytes_total";
  expect(counted.read(`${bytes}{route="manager_to_worker"}`)).toBe(managerToWorkerBytes);
  expect(counted.read(`${bytes}{route="worker_to_manager"}`)).toBe(workerToManagerBytes);
  expect(managerToWorkerBytes).toBe(1_300);
  const took = "tendril_transfer_duration_seconds";
  expect(counted.read(`${took}_bucket{route="manager_to_worker",le="1"}`)).toBe(0);
  expect(counted.read(`${took}_count{route="manager_to_worker"}`)).toBe(1);
});

test("Metrics counts recoveries, workers, hosts and copies as they come and go", () => {
  const counted = new Counted();
  counted.joins("a");
  const output = counted.temp("made");
  counted.finishes("a", counted.submits({ outputs: [output] }));
  counted.exits("a");
  counted.joins("b");
  counted.submits({ inputs: [output] });
  expect(counted.read("tendril_recoveries_started_total")).toBe(1);
  expect(counted.read("tendril_workers_joined_total")).toBe(2);
  expect(counted.read("tendril_workers_left_total")).toBe(1);
  expect(counted.read('tendril_workers{state="connected"}')).toBe(1);
  counted.breaks("b");
  expect(counted.read('tendril_workers{state="away"}')).toBe(1);
  counted.returns("b");
  expect(counted.read("tendril_workers_reconnected_total")).toBe(1);
  counted.feed({ kind: "host_changed", host: "host of b", change: "drain", forMs: 0 });
  expect(counted.read('tendril_hosts_barred{state="draining"}')).toBe(1);
  counted.feed({ kind: "host_changed", host: "host of b", change: "unblock", forMs: 0 });
  expect(counted.read('tendril_hosts_barred{state="draining"}')).toBe(0);
  expect(counted.read("tendril_replicas_ready_total")).toBe(1);
  expect(counted.read("tendril_replicas_gone_total")).toBe(1);
});

test("Metrics follows instances of libraries until they end or their worker does", () => {
  const counted = new Counted();
  counted.library("digits", counted.local("module"));
  counted.joins("a");
  const call = counted.submits({ library: "digits" });
  counted.brings("a");
  const instances = (state: string) =>
    counted.read(`tendril_library_instances{library="digits",state="${state}"}`);
  expect(instances("starting")).toBe(1);
  const [instance] = counted.state.workers.values().flatMap(({ instances }) => instances.values());
  counted.says("a", { kind: "instance_ready", instanceId: instance!.instanceId });
  expect([instances("starting"), instances("ready")]).toEqual([0, 1]);
  counted.finishes("a", call, { ranMs: 5 });
  expect(counted.read('tendril_tasks_ended_total{kind="call",outcome="success"}')).toBe(1);
  expect(counted.read('tendril_call_duration_seconds_count{library="digits"}')).toBe(1);
  counted.exits("a");
  expect(instances("ready")).toBe(0);
  expect(counted.read('tendril_library_instance_changes_total{change="ready"}')).toBe(1);
});

test("Metrics.render() tells what others count and how long the scheduler and the loop took", () => {
  const counted = new Counted();
  counted.metrics.noteStep(2, 70);
  counted.metrics.noteDelay(40);
  expect(counted.read("tendril_scheduling_events_total")).toBe(70);
  expect(counted.read("tendril_scheduling_step_seconds_sum")).toBe(0.002);
  expect(counted.read('tendril_event_loop_delay_seconds_bucket{le="0.03"}')).toBe(0);
  expect(counted.read('tendril_refused_total{kind="handshake"}')).toBe(3);
  expect(counted.read("tendril_tasks_unplaceable")).toBe(4);
  expect(counted.read("tendril_records_waiting")).toBe(5);
  expect(counted.read("tendril_records_left_out_total")).toBe(6);
  expect(counted.read('tendril_build_info{version="1.2.3"}')).toBe(1);
  expect(counted.read("process_resident_memory_bytes")).toBeGreaterThan(1e6);
});

test.skipIf(!HAS_PROMTOOL)("Metrics.render() says what promtool has no complaint about", () => {
  const counted = new Counted();
  counted.joins("a");
  counted.library("digits", counted.local("module"));
  const category = 'fit "all"\\\n';
  counted.finishes("a", counted.submits({ category }));
  counted.submits({ library: "digits" });
  expect(checkMetrics(counted.metrics.render("text"))).toEqual({ status: 0, said: "" });
  // It does find what is wrong.
  expect(checkMetrics("# TYPE a_ms counter\na_ms 1\n").status).not.toBe(0);
});
