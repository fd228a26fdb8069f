/** What awaiting a call throws that gave nothing, and how calls are named in messages. */

import type { TaskId } from "../../shared/ids.ts";
import { showStack } from "../../shared/thrown.ts";
import type { TryFailure } from "./executor.ts";

/** Lines of what a failed try wrote that are in its message. */
const STDERR_LINES = 10;

/** Characters of each of them. */
const LINE_CHARS_MAX = 200;

/** Causes that the message of a dependency names, from the nearest one. */
const CHAIN_MAX = 8;

const NEVER_TRIED: TryFailure = { kind: "cancelled", message: "it was never tried" };

/** Which call an error is about. */
export interface FailedCall {
  /** Its number. */
  readonly callId: TaskId;
  /** The name of the app. */
  readonly app: string;
  /** The call as text: `align("a.fq", 7)`, shortened. */
  readonly call: string;
}

/**
 * A call whose last try failed. Its `cause` is what the function threw, with the name of its class
 * and its stack there, where it threw something.
 */
export class AppError extends Error {
  /** `"AppError"`. */
  override readonly name: string = "AppError";
  readonly #call: FailedCall;
  readonly #failures: readonly TryFailure[];
  readonly #tryCount: number;

  /** Made by flows. */
  constructor(call: FailedCall, failures: readonly TryFailure[], tryCount: number) {
    const failure = failures.at(-1) ?? NEVER_TRIED;
    const how = describeFailure(failure, tryCount);
    super(`Call ${call.callId}, ${call.call}, ${how}`, { cause: failure.cause });
    this.#call = call;
    this.#failures = failures;
    this.#tryCount = tryCount;
    // What the function threw elsewhere says where, and this process's stack does not.
    printAs(this, [this.message, ...stackOf(failure.cause)]);
  }

  /** Which call. */
  get call(): FailedCall {
    return this.#call;
  }

  /** What happened to the last try. */
  get failure(): TryFailure {
    return this.#failures.at(-1) ?? NEVER_TRIED;
  }

  /** Of all tries, the last one at the end; the first ones of many are left out. */
  get failures(): readonly TryFailure[] {
    return this.#failures;
  }

  /** Tries that there were. */
  get tryCount(): number {
    return this.#tryCount;
  }
}

/** A call that could not run, as what it depends on failed; its `cause` is why the nearest did. */
export class DependencyError extends Error {
  /** `"DependencyError"`. */
  override readonly name: string = "DependencyError";
  readonly #call: FailedCall;
  readonly #nearest: FailedCall | undefined;
  /** Calls in the chain; kept, as a chain may be long. */
  readonly #length: number;
  readonly #root: unknown;

  /** Made by flows; `cause` is why the nearest one failed. */
  constructor(call: FailedCall, cause: unknown, nearest?: FailedCall) {
    const isLink = cause instanceof DependencyError;
    const root = isLink ? cause.#root : cause;
    const length = (nearest === undefined ? 0 : 1) + (isLink ? cause.#length : 0);
    super("", { cause });
    this.#call = call;
    this.#nearest = nearest;
    this.#length = length;
    this.#root = root;
    Object.defineProperty(this, "message", { value: this.#describe(), configurable: true });
    printAs(this, this.printed());
  }

  /** Lines as which it is printed. */
  protected printed(): readonly string[] {
    const { cause } = this.#root instanceof AppError ? this.#root : {};
    return [this.message, ...stackOf(cause)];
  }

  /** Which call. */
  get call(): FailedCall {
    return this.#call;
  }

  /** The calls between, the nearest first; the last one is what failed by itself. */
  get chain(): readonly FailedCall[] {
    return this.#links(Infinity);
  }

  /** Why the last one of the chain failed. */
  get root(): unknown {
    return this.#root;
  }

  /** What is said before the chain. */
  protected get verb(): string {
    return "it depends on";
  }

  #links(max: number): readonly FailedCall[] {
    const links: FailedCall[] = this.#nearest === undefined ? [] : [this.#nearest];
    let { cause } = this;
    while (cause instanceof DependencyError && links.length < max) {
      if (cause.#nearest !== undefined) links.push(cause.#nearest);
      cause = cause.cause;
    }
    return links;
  }

  #describe(): string {
    const named = this.#links(CHAIN_MAX).map((one) => `call ${one.callId}, ${one.call}`);
    if (this.#length > CHAIN_MAX) named.push(`… ${this.#length - CHAIN_MAX} more`);
    const via = named.length === 0 ? "a promise among its arguments" : named.join(" <- ");
    const { callId, call } = this.#call;
    return `Cannot run call ${callId}, ${call}: ${this.verb} ${via}, which ${
      describeRoot(this.#root)
    }`;
  }
}

/** A join whose futures failed. */
export class JoinError extends DependencyError {
  /** `"JoinError"`. */
  override readonly name: string = "JoinError";

  /** Made by flows. */
  constructor(call: FailedCall, cause: unknown, nearest?: FailedCall) {
    super(call, cause, nearest);
    // The name is known only now.
    printAs(this, this.printed());
  }

  /** See `DependencyError`. */
  protected override get verb(): string {
    return "it joins";
  }
}

/** A call that was cancelled. */
export class CancelledError extends Error {
  /** `"CancelledError"`. */
  override readonly name: string = "CancelledError";
  readonly #call: FailedCall;
  readonly #why: string;

  /** Made by flows. */
  constructor(call: FailedCall, why: string) {
    super(`Cannot give the result of call ${call.callId}, ${call.call}: ${why}`);
    this.#call = call;
    this.#why = why;
    printAs(this, [this.message]);
  }

  /** Which call. */
  get call(): FailedCall {
    return this.#call;
  }

  /** Who cancelled it: `it was cancelled`. */
  get why(): string {
    return this.#why;
  }
}

/**
 * Makes an error without the frames of where it is made, which are a flow's own and most of the cost:
 * a hundred thousand calls may fail at once.
 */
export function withoutFrames<T extends Error>(make: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** The call that an error of a flow is about; undefined of other errors. */
export function failedCallOfError(error: unknown): FailedCall | undefined {
  const isOurs = error instanceof AppError || error instanceof DependencyError ||
    error instanceof CancelledError;
  return isOurs ? error.call : undefined;
}

/** Of a chain of causes the last one, which failed by itself. */
export function rootOf(error: unknown): unknown {
  return error instanceof DependencyError ? error.root : error;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function describeFailure(failure: TryFailure, tryCount: number): string {
  const { kind, message, workerId, host, stderr = "" } = failure;
  const place = workerId === undefined ? host : `worker ${workerId} on ${host ?? "a host"}`;
  const where = place === undefined ? "" : ` (${place})`;
  const tries = tryCount > 1 ? ` after ${tryCount} tries` : "";
  const head = `failed${tries} as ${kind}${where}: ${message}`;
  const said = stderr.trimEnd();
  if (said === "") return head;
  const lines = said.split("\n").slice(-STDERR_LINES).map((line) => `  | ${cutLine(line)}`);
  return `${head}\n${lines.join("\n")}`;
}

/** What became of the call at the end of a chain, which is named before. */
function describeRoot(root: unknown): string {
  if (root instanceof AppError) return describeFailure(root.failure, root.tryCount);
  return root instanceof CancelledError
    ? `has no result: ${root.why}`
    : `failed: ${messageOf(root)}`;
}

function stackOf(cause: unknown): readonly string[] {
  return cause instanceof Error && cause.stack ? [cause.stack] : [];
}

function cutLine(line: string): string {
  return line.length <= LINE_CHARS_MAX ? line : `${line.slice(0, LINE_CHARS_MAX - 1)}…`;
}

/** Has an error be printed as these lines, and neither as its fields nor with frames of flows. */
function printAs(error: Error, lines: readonly string[]): void {
  showStack(error, `${error.name}: ${lines.join("\n")}`);
}
