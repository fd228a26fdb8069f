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
const runDirectory = resolve(options.directory);
const rates = [0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1].slice(0, Number(options.models));
const slices = Array.from({ length: 10 }, (_, index) => [index * 200, (index + 1) * 200] as const);

const archive = resolve(runDirectory, "environment.tar.gz");
await packEnvironment(archive);
const name = `mnist-${process.pid}`;
await using manager = await Manager.start({ name, workers: 2, runDirectory });

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
  const model = manager.temp(); // stays in the cluster
  const training = manager.submit({
    command: `train --seed ${index + 1} --rate ${rate} --epochs ${options.epochs} --output model`,
    environment,
    outputs: { model },
    tag: `train ${index + 1}`,
  });
  // Calls wait for their model and run where it is; where others have room, it goes there.
  const tests = digits.with({ tag: `test ${index + 1}` });
  const calls = slices.map((slice) => tests.call<Score>("evaluate", model, ...slice));
  return { rate, model, training, calls };
});

for await (const { tag, id, outcome, times, workerId } of manager.completed()) {
  const where = `${times.ranMs.toFixed(0)} ms at worker ${workerId?.slice(0, 8)}`;
  console.log(`task ${id}, ${tag}: ${outcome}, ${where}`);
}

const models = await Promise.all(runs.map(async ({ training, calls, ...run }) => {
  const trainMs = (await training.orThrow()).times.ranMs;
  const scores = await Promise.all(calls.map((call) => call.value()));
  const testMs = sum((await Promise.all(calls)).map((result) => result.times.ranMs));
  const accuracy = sum(scores.map((score) => score.correct)) / sum(scores.map((s) => s.total));
  return { ...run, trainMs, testMs, accuracy };
}));
const best = models.reduce((a, b) => b.accuracy > a.accuracy ? b : a);
const path = await manager.fetch(best.model, resolve(runDirectory, "best-model"));
const { bytes, tasks } = manager.status();

console.log("\nmodel  rate  accuracy  1 task  10 calls");
for (const [index, { rate, accuracy, trainMs, testMs }] of models.entries()) {
  const cells = [index + 1, rate.toFixed(2), accuracy.toFixed(4), seconds(trainMs), seconds(testMs)];
  console.log(cells.join("  "));
}
console.log(`
${tasks.succeeded} tasks
best accuracy: ${best.accuracy.toFixed(4)}
manager→worker bytes: ${bytes.managerToWorker}
worker→worker bytes: ${bytes.workerToWorker}
worker→manager bytes: ${bytes.workerToManager}
best model: ${path}`);

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
