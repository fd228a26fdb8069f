// deno-lint-ignore-file no-console -- what it prints is its result
/**
 * Trains networks on handwritten digits, tests them where they are, and brings the best one home.
 *
 *     tendril run scripts/examples/mnist.ts
 *     deno run -A scripts/examples/mnist.ts
 *     bun scripts/examples/mnist.ts --models 4 --epochs 2
 */
import { resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";

import { Manager } from "tendril";

import { packEnvironment } from "./mnist/environment.ts";
import type { Score } from "./mnist/evaluate.ts";

const { values: options } = parseArgs({
  options: {
    models: { type: "string", default: "8" },
    epochs: { type: "string", default: "6" },
    directory: { type: "string", default: "tendril-runs/mnist" },
  },
});
const rates = [0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1].slice(0, Number(options.models));
const slices = Array.from({ length: 10 }, (_, index) => [index * 200, (index + 1) * 200] as const);
const directory = resolve(options.directory);
const archive = resolve(directory, "environment.tar.gz");
await packEnvironment(archive);

const name = `mnist-${process.pid}`;
await using manager = await Manager.start({ name, workers: 2, runDirectory: directory });

// Digits and training code: each worker unpacks them once, for all that runs there.
const environment = manager.environment(archive);
// Processes that keep the held-out digits loaded, and serve function calls.
const digits = manager.library({
  name: "digits",
  module: "./mnist/evaluate.ts",
  from: import.meta.url,
  context: "setup",
  environment,
});

const runs = rates.map((rate, index) => {
  const number = index + 1;
  const model = manager.temp(); // stays in the cluster
  const training = manager.submit({
    command: `train --seed ${number} --rate ${rate} --epochs ${options.epochs} --output model`,
    environment,
    outputs: { model },
    tag: `train model ${number}`,
  });
  // Calls wait for their model and run where it is; when others have room, it goes to them.
  const tests = digits.with({ tag: `test model ${number}` });
  const calls = slices.map((slice) => tests.call<Score>("evaluate", model, ...slice));
  return { number, rate, model, training, calls };
});

for await (const { id, tag, outcome, workerId, times } of manager.completed()) {
  print(id, tag, outcome, workerId?.slice(0, 8), seconds(times.ranMs));
}

const models = await Promise.all(runs.map(async ({ training, calls, ...run }) => {
  const trained = await training.orThrow();
  const tested = await Promise.all(calls.map((call) => call.orThrow()));
  const scores = await Promise.all(calls.map((call) => call.value()));
  return {
    ...run,
    accuracy: sum(scores, (score) => score.correct) / sum(scores, (score) => score.total),
    trainMs: trained.times.ranMs,
    testMs: sum(tested, (result) => result.times.ranMs),
  };
}));
const best = models.reduce((a, b) => b.accuracy > a.accuracy ? b : a);
const path = await manager.fetch(best.model, resolve(directory, "best-model"));

console.log();
print("model", "rate", "accuracy", "1 task", `${slices.length} calls`);
for (const { number, rate, accuracy, trainMs, testMs } of models) {
  print(number, rate, accuracy.toFixed(4), seconds(trainMs), seconds(testMs));
}
const totals = [sum(models, (model) => model.trainMs), sum(models, (model) => model.testMs)];
print("all", "", "", ...totals.map(seconds));

const { bytes } = manager.status();
console.log(`
${models.length} tasks, ${models.length * slices.length} calls
best accuracy: ${best.accuracy.toFixed(4)}
manager→worker bytes: ${bytes.managerToWorker}
worker→worker bytes: ${bytes.workerToWorker}
worker→manager bytes: ${bytes.workerToManager}
best model: ${path}`);

function print(...cells: unknown[]): void {
  console.log(cells.map((cell) => String(cell).padStart(14)).join(""));
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`;
}

function sum<T>(items: readonly T[], amount: (item: T) => number): number {
  return items.reduce((total, item) => total + amount(item), 0);
}
