/** What awaiting a call throws that gave nothing, and how calls are named in messages. */

import type { TaskId } from "../../shared/ids.ts";
import { showStack } from "../../shared/thrown.ts";
import type { TryFailure } from "./executor.ts";

/** Lines of what a failed try wrote that are in its message. */
const STDERR_LINES = 10;

/** Causes that the message of a dependency names, from the nearest one. */
const CHAIN_MAX = 8;

/** Which call an error is about. */
export interface FailedCall {
  /** Its number. */
  readonly callId: TaskId;
  /** The name of the app. */
  readonly app: string;
  /** The call as text: `align("a.fq", 7)`, shortened. */
  readonly call: string;
}

/** A call whose last try failed. */
export class AppError extends Error {
  /** `"AppError"`. */
  override readonly name: string = "AppError";
  /** Which call. */
  readonly call: FailedCall;
  /** What happened to the last try. */
  readonly failure: TryFailure;
  /** Of all tries, the last one at the end; the first ones of many are left out. */
  readonly failures: readonly TryFailure[];

  /** Made by flows. */
  constructor(call: FailedCall, failures: readonly TryFailure[], tryCount: number) {
    const failure = failures.at(-1) ?? { kind: "cancelled", message: "it was never tried" };
    super(describeFailure(call, failure, tryCount), { cause: failure.cause });
    this.call = call;
    this.failure = failure;
    this.failures = failures;
    // What the function threw elsewhere says where, and this process's stack does not.
    if (failure.cause instanceof Error && failure.cause.stack !== undefined) {
      showStack(this, `${this.name}: ${this.message}\n${failure.cause.stack}`);
    }
  }
}

/** A call that could not run, as what it depends on failed. */
export class DependencyError extends Error {
  /** Always `"DependencyError"`. */
  override readonly name: string = "DependencyError";
  /** Which call. */
  readonly call: FailedCall;
  /** The calls between, the nearest first; the last one is what failed by itself. */
  readonly chain: readonly FailedCall[];

  /** Made by flows; `cause` is why the nearest one failed. */
  constructor(call: FailedCall, cause: unknown, nearest?: FailedCall) {
    const chain = [
      ...(nearest === undefined ? [] : [nearest]),
      ...(cause instanceof DependencyError ? cause.chain : []),
    ];
    super(describeChain(call, chain, rootOf(cause)), { cause });
    this.call = call;
    this.chain = chain;
  }
}

/** A join whose futures failed. */
export class JoinError extends DependencyError {
  /** Always `"JoinError"`. */
  override readonly name: string = "JoinError";
}

/** A call that was cancelled. */
export class CancelledError extends Error {
  /** Always `"CancelledError"`. */
  override readonly name: string = "CancelledError";
  /** Which call. */
  readonly call: FailedCall;

  /** Made by flows. */
  constructor(call: FailedCall, why: string) {
    super(`Cannot give the result of call ${call.callId}, ${call.call}: ${why}`);
    this.call = call;
  }
}

/** Of a chain of causes the last one, which failed by itself. */
export function rootOf(error: unknown): unknown {
  let root = error;
  // A cause may be any user's object; those of this file come to an end.
  while (root instanceof DependencyError && root.cause !== undefined) root = root.cause;
  return root;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function describeFailure(call: FailedCall, failure: TryFailure, tryCount: number): string {
  const { kind, message, workerId, host, stderr = "" } = failure;
  const place = workerId === undefined ? host : `worker ${workerId} on ${host ?? "a host"}`;
  const where = place === undefined ? "" : ` (${place})`;
  const tries = tryCount > 1 ? ` after ${tryCount} tries` : "";
  const head = `Call ${call.callId}, ${call.call}, failed${tries} as ${kind}${where}: ${message}`;
  const said = stderr.trimEnd();
  if (said === "") return head;
  const lines = said.split("\n").slice(-STDERR_LINES).map((line) => `  | ${line}`);
  return `${head}\n${lines.join("\n")}`;
}

function describeChain(call: FailedCall, chain: readonly FailedCall[], root: unknown): string {
  const named = chain.slice(0, CHAIN_MAX).map((one) => `call ${one.callId}, ${one.call}`);
  if (chain.length > CHAIN_MAX) named.push(`${chain.length - CHAIN_MAX} more`);
  const via = named.length === 0 ? "a promise among its arguments" : named.join(" <- ");
  return `Cannot run call ${call.callId}, ${call.call}: it depends on ${via}: ${messageOf(root)}`;
}
