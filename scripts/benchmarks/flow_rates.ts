/**
 * Calls of apps that do nothing. Beside them, in the same run: bare calls of a library, and tasks
 * that the manager is given as they are.
 */
import { app, type AppFuture, type Flow, type FlowOptions, pythonApp, shellApp } from "tendril";

import { callMany, JAVASCRIPT, PYTHON_DIRECT } from "./call_libraries.ts";
import { type Figure, repeat } from "./figure.ts";
import { callAll, rateOf, UNSEEN, withFlow } from "./flow_load.ts";
import { timed } from "./workers.ts";

/** One call of so many is made before, to warm up. */
const CALLS_PER_WARM = 4;

interface RateBench {
  readonly title: string;
  readonly count: number;
  readonly options: FlowOptions;
  readonly beside: string;
  readonly aim: string;
  /** Declares both, and says how one call is made, and how many are without an app. */
  prepare(flow: Flow): {
    readonly call: () => AppFuture<unknown>;
    readonly callBare: (count: number) => Promise<void>;
  };
}

const PYTHON_SOURCE = "def nothing(value):\n    return value\n";

function nothing<T>(value: T): T {
  return value;
}

function prepareJavaScript(flow: Flow): ReturnType<RateBench["prepare"]> {
  const called = app(nothing<number>);
  const library = JAVASCRIPT.declare(flow.manager, 1);
  return {
    call: () => called(7),
    callBare: (count) => callMany(library, count, ["nothing", 7]),
  };
}

function preparePython(flow: Flow): ReturnType<RateBench["prepare"]> {
  const called = pythonApp<number>(PYTHON_SOURCE, "nothing");
  const library = PYTHON_DIRECT.declare(flow.manager, 1);
  return {
    call: () => called(7),
    callBare: (count) => callMany(library, count, ["nothing", 7]),
  };
}

function prepareCommand(flow: Flow): ReturnType<RateBench["prepare"]> {
  const called = shellApp(() => "true", { name: "true", cores: 1 });
  return {
    call: () => called(),
    callBare: async (count) => {
      const tasks = Array.from({ length: count }, () => {
        return flow.manager.submit({ command: "true", cores: 1 });
      });
      for (const task of tasks) await task.orThrow();
    },
  };
}

const BENCHES: readonly RateBench[] = [{
  title: "JavaScript",
  count: 15_000,
  options: {},
  beside: "library.call",
  aim: "20000",
  prepare: prepareJavaScript,
}, {
  title: "JavaScript, nothing recorded",
  count: 15_000,
  options: UNSEEN,
  beside: "library.call",
  aim: "",
  prepare: prepareJavaScript,
}, {
  title: "Python",
  count: 6_000,
  options: {},
  beside: "library.call",
  aim: "",
  prepare: preparePython,
}, {
  title: "commands",
  count: 500,
  options: {},
  beside: "manager.submit",
  aim: "",
  prepare: prepareCommand,
}];

/** Calls a second of each kind of app. */
export async function measureFlowRates(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { title, count, options, beside, aim, prepare } of BENCHES) {
    const runs = await repeat(() =>
      withFlow(async (flow) => {
        const { call, callBare } = prepare(flow);
        await callBare(count / CALLS_PER_WARM);
        await callAll(flow, count / CALLS_PER_WARM, call);
        const bareMs = await timed(() => callBare(count));
        const ms = await timed(() => callAll(flow, count, call));
        return { value: rateOf(count, ms), baseline: rateOf(count, bareMs) };
      }, options)
    );
    figures.push({ name: `no-op app calls, ${title}`, unit: "calls/s", beside, aim, runs });
  }
  return figures;
}
