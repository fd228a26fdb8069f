/** What a user says of hosts: that they get nothing for a while, are drained, or take tasks again. */

import process from "node:process";

import type { Duration } from "./config.ts";
import type { ManagerEvent } from "./core/event.ts";
import type { Fact } from "./core/fact.ts";
import { plainText } from "../shared/plain_text.ts";
import { formatDuration } from "../shared/units.ts";
import { count, duration, readOptions, text } from "./option.ts";

/** What can be done to a host. */
export const HOST_CHANGES = ["block", "unblock", "drain"] as const;

/** One of them. */
export type HostChangeKind = (typeof HOST_CHANGES)[number];

/** How `blockHost` blocks. */
export interface BlockOptions {
  /** Default: until it is unblocked. */
  readonly for?: Duration;
}

/**
 * The event that changes a host.
 *
 * @throws {TypeError | RangeError} When the name or an option is wrong.
 */
export function hostChange(
  change: HostChangeKind,
  host: string,
  options: BlockOptions = {},
): Extract<ManagerEvent, { kind: "host_changed" }> {
  const { for: forMs } = readOptions<BlockOptions>(options, "blockHost", { for: duration });
  const name = text(host, "the name of a host");
  return { kind: "host_changed", host: name, change, forMs: Number(forMs ?? Infinity) };
}

/**
 * The event that sends idle workers away.
 *
 * @throws {RangeError} When it is no number of workers.
 */
export function workersReleased(
  most: number,
): Extract<ManagerEvent, { kind: "workers_released" }> {
  return { kind: "workers_released", count: count(0)(most, "count of releaseWorkers") };
}

/** Hosts are named as workers say. */
const LINE_CHARS_MAX = 1_000;

/** Says on standard error what the manager did to hosts by itself. */
export function tellHosts(facts: readonly Fact[]): void {
  for (const fact of facts) {
    if (fact.kind !== "host_blocked" || fact.isByHand) continue;
    const time = fact.forMs === undefined ? "" : ` for ${formatDuration(fact.forMs)}`;
    const line = `host "${fact.host}" is given nothing${time}: ${fact.reason}`;
    process.stderr.write(`tendril: ${plainText(line, LINE_CHARS_MAX)}\n`);
  }
}
