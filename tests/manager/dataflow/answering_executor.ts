/** An executor that answers tries at once, and what flows of tests of memory are made of. */

import type { AppTry, Executor, RunningTry, TryEnd } from "../../../manager/dataflow/executor.ts";
import { type Flow, load } from "../../../manager/dataflow/flow.ts";
import type { FlowOptions } from "../../../manager/dataflow/flow_options.ts";
import { StoredValue } from "../../../manager/dataflow/stored_value.ts";

/** What a try gives: a value, or an end of any kind. */
export type Answer = (aTry: AppTry) => unknown;

/** Takes everything, and has it end as its answer says. */
export class AnsweringExecutor implements Executor {
  readonly label: string = "answering";
  /** All that was submitted, in that order. */
  readonly tries: AppTry[] = [];
  readonly #answer: Answer;

  constructor(answer: Answer = () => 1) {
    this.#answer = answer;
  }

  refusal(): undefined {}

  submit(aTry: AppTry, onEnd: (end: TryEnd) => void): RunningTry {
    this.tries.push(aTry);
    void Promise.resolve().then(() => this.#answer(aTry)).then(
      (found) => onEnd(isEnd(found) ? found : done(found)),
      (cause: Error) => {
        onEnd({ kind: "failed", failure: { kind: "call_error", message: cause.message, cause } });
      },
    );
    return { cancel: () => {} };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** An end that gives that value. */
export function done(
  value: unknown,
  outputs: Extract<TryEnd, { kind: "done" }>["outputs"] = {},
): TryEnd {
  return { kind: "done", value: StoredValue.plain(value), outputs };
}

/** A flow that remembers, and what answers its tries. */
export async function answeringFlow(
  answer: Answer,
  options: FlowOptions = {},
): Promise<{ readonly flow: Flow; readonly executor: AnsweringExecutor }> {
  const executor = new AnsweringExecutor(answer);
  return { executor, flow: await load({ executors: [executor], memoize: true, ...options }) };
}

function isEnd(found: unknown): found is TryEnd {
  return typeof found === "object" && found !== null && "kind" in found &&
    (found.kind === "done" || found.kind === "failed");
}
