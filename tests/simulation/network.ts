/** One simulated WebSocket: ordered and reliable until it breaks, then an unknown tail is lost. */

import type { SessionId } from "../../shared/ids.ts";
import type { ManagerMessage, WorkerMessage } from "../../shared/protocol.ts";
import type { Clock } from "./clock.ts";

/** What each end does with what arrives. */
export interface Ends {
  toManager(messages: readonly WorkerMessage[]): void;
  toWorker(messages: readonly ManagerMessage[]): void;
  managerClosed(wasSilent: boolean): void;
  workerClosed(): void;
}

/** A connection with latency in both directions. */
export class Connection {
  readonly session: SessionId;
  readonly #clock: Clock;
  readonly #ends: Ends;
  readonly #latencyMs: () => number;
  #lastToManagerMs = 0;
  #lastToWorkerMs = 0;
  #isManagerOpen = true;
  #isWorkerOpen = true;
  /** Frames sent at or after this instant never arrive. */
  #cutAtMs = Infinity;

  constructor(
    options: { session: SessionId; clock: Clock; ends: Ends; latencyMs: () => number },
  ) {
    this.session = options.session;
    this.#clock = options.clock;
    this.#ends = options.ends;
    this.#latencyMs = options.latencyMs;
  }

  /** False once either end knows that it is closed. */
  get isOpen(): boolean {
    return this.#isManagerOpen && this.#isWorkerOpen && this.#cutAtMs === Infinity;
  }

  sendToManager(messages: readonly WorkerMessage[]): void {
    const sentAtMs = this.#clock.nowMs;
    const atMs = Math.max(this.#lastToManagerMs, sentAtMs + this.#latencyMs());
    this.#lastToManagerMs = atMs;
    this.#clock.after(atMs - sentAtMs, () => {
      if (this.#isManagerOpen && sentAtMs < this.#cutAtMs) this.#ends.toManager(messages);
    });
  }

  sendToWorker(messages: readonly ManagerMessage[]): void {
    const sentAtMs = this.#clock.nowMs;
    const atMs = Math.max(this.#lastToWorkerMs, sentAtMs + this.#latencyMs());
    this.#lastToWorkerMs = atMs;
    this.#clock.after(atMs - sentAtMs, () => {
      if (this.#isWorkerOpen && sentAtMs < this.#cutAtMs) this.#ends.toWorker(messages);
    });
  }

  /** Breaks it: what was sent since `lostMs` ago is lost; each end finds out in its own time. */
  break(
    options: { lostMs: number; managerMs: number; workerMs: number; wasSilent: boolean },
  ): void {
    if (this.#cutAtMs !== Infinity) return;
    this.#cutAtMs = this.#clock.nowMs - options.lostMs;
    this.#clock.after(options.managerMs, () => this.closeManager(options.wasSilent));
    this.#clock.after(options.workerMs, () => this.closeWorker());
  }

  /** The manager's end is closed. */
  closeManager(wasSilent: boolean): void {
    if (!this.#isManagerOpen) return;
    this.#isManagerOpen = false;
    this.#ends.managerClosed(wasSilent);
  }

  /** The worker's end is closed. */
  closeWorker(): void {
    if (!this.#isWorkerOpen) return;
    this.#isWorkerOpen = false;
    this.#ends.workerClosed();
  }
}

/** What the manager says first on a connection. */
export function welcomeOf(session: SessionId): ManagerMessage {
  return {
    kind: "welcome",
    managerId: "manager",
    epoch: 1,
    session,
    transferKey: new Uint8Array(0),
    heartbeatMs: 1_000,
    atMs: 0,
  };
}
