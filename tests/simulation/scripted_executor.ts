/** An executor whose tries end when a script says so: in any order, late, and more than once. */

import type { AppTry, Executor, RunningTry, TryEnd } from "../../manager/dataflow/executor.ts";

/** A try that was taken. */
export interface ScriptedTry {
  readonly aTry: AppTry;
  readonly onEnd: (end: TryEnd) => void;
  isCancelled: boolean;
  isOver: boolean;
}

/** Takes tries, and leaves them. */
export class ScriptedExecutor implements Executor {
  readonly label: string;
  /** All that was submitted, in that order. */
  readonly tries: ScriptedTry[] = [];
  /** What `submit` throws for a try. */
  readonly errorOf: (aTry: AppTry) => Error | undefined;

  constructor(label: string, errorOf: (aTry: AppTry) => Error | undefined = () => undefined) {
    this.label = label;
    this.errorOf = errorOf;
  }

  refusal(): undefined {}

  /** Those that have not ended. */
  get pending(): readonly ScriptedTry[] {
    return this.tries.filter(({ isOver }) => !isOver);
  }

  submit(aTry: AppTry, onEnd: (end: TryEnd) => void): RunningTry {
    const error = this.errorOf(aTry);
    if (error !== undefined) throw error;
    const taken: ScriptedTry = { aTry, onEnd, isCancelled: false, isOver: false };
    this.tries.push(taken);
    return { cancel: () => taken.isCancelled = true };
  }

  /** Ends a try. */
  end(taken: ScriptedTry, end: TryEnd): void {
    taken.isOver = true;
    taken.onEnd(end);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
