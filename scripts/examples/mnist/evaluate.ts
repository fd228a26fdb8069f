/**
 * A library: its functions run in a process that keeps the held-out digits loaded, on a worker that
 * has the environment. The code of the network is the environment's own, the one that trained it.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";

import type { DigitSet } from "./digit_set.ts";

type DigitSetModule = typeof import("./digit_set.ts");
type NetworkModule = typeof import("./network.ts");

/** How a model did on a slice of the held-out digits. */
export interface Score {
  readonly correct: number;
  readonly total: number;
}

interface Context {
  readonly digits: DigitSet;
  readonly pixelCount: number;
  readonly network: NetworkModule;
}

let context: Context | undefined;

/** Loads what all calls have in common; called once a process, before the first call. */
export async function setup(): Promise<void> {
  const environment = process.env["TENDRIL_ENVIRONMENT"];
  if (environment === undefined) {
    throw new Error("Cannot load the held-out digits: TENDRIL_ENVIRONMENT is not set");
  }
  const load = (module: string): Promise<unknown> => {
    return import(pathToFileURL(`${environment}/lib/${module}`).href);
  };
  const { decodeDigitSet, PIXEL_COUNT } = await load("digit_set.ts") as DigitSetModule;
  context = {
    digits: decodeDigitSet(readFileSync(`${environment}/share/digits/test.bin`)),
    pixelCount: PIXEL_COUNT,
    network: await load("network.ts") as NetworkModule,
  };
}

/** Counts which of the held-out digits `from` to `to` - 1 the model in `modelPath` recognises. */
export function evaluate(modelPath: string, from: number, to: number): Score {
  if (context === undefined) throw new Error("Cannot evaluate a model before setup()");
  const { digits, pixelCount, network } = context;
  const heldOutCount = digits.labels.length;
  if (!(from >= 0 && from < to && to <= heldOutCount)) {
    throw new RangeError(
      `Cannot use digits "${from} to ${to}" as a slice: ${heldOutCount} are held out`,
    );
  }
  const model = network.decodeNetwork(readFileSync(modelPath));
  const activations = network.newActivations();
  let correct = 0;
  for (let index = from; index < to; index++) {
    const image = digits.pixels.subarray(index * pixelCount, (index + 1) * pixelCount);
    if (network.classify(model, image, activations) === digits.labels[index]) correct++;
  }
  return { correct, total: to - from };
}
