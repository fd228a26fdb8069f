/**
 * Trains one network: `train --seed 1 --rate 0.05 --output model`.
 *
 * It runs inside the environment, on a machine that may have nothing else installed, so it imports
 * only its neighbours there and built-in modules. `!` stands in the loops for the reason given in
 * `network.ts`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { decodeDigitSet, type DigitSet, LABEL_COUNT, PIXEL_COUNT } from "./digit_set.ts";
import {
  activate,
  type Activations,
  encodeNetwork,
  HIDDEN_COUNT,
  type Network,
  newActivations,
  newNetwork,
  newRandomNetwork,
} from "./network.ts";
import { newRandom, shuffledIndexes } from "./random.ts";

const BATCH_COUNT = 32;
const MOMENTUM = 0.9;

/** How to train. */
export interface TrainOptions {
  /** A whole number that decides the first weights and the order of the digits. */
  readonly seed: number;
  /** Learning rate of the first epoch; it falls in a straight line to zero after the last. */
  readonly rate: number;
  /** Times that each digit is shown; 1 or more. */
  readonly epochs: number;
}

/** How one epoch went. */
export interface Epoch {
  /** 1 for the first. */
  readonly number: number;
  /** Mean cross-entropy of the digits when each was shown. */
  readonly loss: number;
}

/**
 * Trains a network by stochastic gradient descent with momentum, in batches of 32 digits. The same
 * options and digits give the same network, bit for bit, on the same build of the runtime.
 */
export function train(
  digits: DigitSet,
  { seed, rate, epochs }: TrainOptions,
  onEpoch: (epoch: Epoch) => void = () => {},
): Network {
  const network = newRandomNetwork(seed);
  const descent: Descent = {
    network,
    gradient: newNetwork(),
    velocity: new Float32Array(network.weights.length),
    activations: newActivations(),
    hiddenErrors: new Float32Array(HIDDEN_COUNT),
  };
  // Apart from the seed's own sequence, which made the weights.
  const random = newRandom(~seed);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = shuffledIndexes(digits.labels.length, random);
    let lossSum = 0;
    for (let start = 0; start < order.length; start += BATCH_COUNT) {
      const batch = order.subarray(start, start + BATCH_COUNT);
      for (const index of batch) lossSum += addGradient(descent, digits, index);
      const progress = (epoch + start / order.length) / epochs;
      descend(descent, rate * (1 - progress) / batch.length);
    }
    onEpoch({ number: epoch + 1, loss: lossSum / order.length });
  }
  return network;
}

interface Descent {
  readonly network: Network;
  /** Sum over the digits of a batch; zero between batches. */
  readonly gradient: Network;
  readonly velocity: Float32Array;
  readonly activations: Activations;
  readonly hiddenErrors: Float32Array;
}

/** Adds one digit's part to the gradient and returns its cross-entropy. */
function addGradient(descent: Descent, digits: DigitSet, index: number): number {
  const { network, gradient, activations, hiddenErrors } = descent;
  const { hidden, outputs } = activations;
  const image = digits.pixels.subarray(index * PIXEL_COUNT, (index + 1) * PIXEL_COUNT);
  const label = digits.labels[index]!;
  activate(network, image, activations);
  softmax(outputs);
  const loss = -Math.log(Math.max(outputs[label]!, Number.MIN_VALUE));
  // Softmax and cross-entropy together: the error of an output is its probability less the truth.
  outputs[label]! -= 1;
  for (let output = 0; output < LABEL_COUNT; output++) {
    gradient.outputBiases[output]! += outputs[output]!;
  }
  for (let unit = 0; unit < HIDDEN_COUNT; unit++) {
    hiddenErrors[unit] = 0;
    const value = hidden[unit]!;
    if (value === 0) continue;
    const start = unit * LABEL_COUNT;
    let error = 0;
    for (let output = 0; output < LABEL_COUNT; output++) {
      error += outputs[output]! * network.outputWeights[start + output]!;
      gradient.outputWeights[start + output]! += outputs[output]! * value;
    }
    hiddenErrors[unit] = error;
    gradient.hiddenBiases[unit]! += error;
  }
  addPixelGradient(gradient.hiddenWeights, hiddenErrors, image);
  return loss;
}

function addPixelGradient(gradient: Float32Array, errors: Float32Array, image: Uint8Array): void {
  for (let pixel = 0; pixel < PIXEL_COUNT; pixel++) {
    const ink = image[pixel]! / 255;
    if (ink === 0) continue;
    const start = pixel * HIDDEN_COUNT;
    for (let unit = 0; unit < HIDDEN_COUNT; unit++) {
      gradient[start + unit]! += ink * errors[unit]!;
    }
  }
}

/** Turns scores into probabilities, in place; the largest is taken off first, so none overflows. */
function softmax(values: Float32Array): void {
  const largest = Math.max(...values);
  let sum = 0;
  for (let index = 0; index < values.length; index++) {
    sum += values[index] = Math.exp(values[index]! - largest);
  }
  for (let index = 0; index < values.length; index++) values[index]! /= sum;
}

function descend({ network, gradient, velocity }: Descent, rate: number): void {
  const weights = network.weights;
  const slopes = gradient.weights;
  for (let index = 0; index < weights.length; index++) {
    const step = velocity[index]! * MOMENTUM - rate * slopes[index]!;
    velocity[index] = step;
    weights[index]! += step;
    slopes[index] = 0;
  }
}

function main(): void {
  const data = fileURLToPath(new URL("../share/digits", import.meta.url).href);
  const { values } = parseArgs({
    options: {
      data: { type: "string", default: data },
      seed: { type: "string", default: "1" },
      rate: { type: "string", default: "0.05" },
      epochs: { type: "string", default: "6" },
      output: { type: "string", default: "model" },
    },
  });
  const seed = readNumber("seed", values.seed, Number.isSafeInteger);
  const rate = readNumber("rate", values.rate, (rate) => rate > 0 && rate < Infinity);
  const epochs = readNumber("epochs", values.epochs, (count) => count >= 1 && count % 1 === 0);
  const digits = decodeDigitSet(readFileSync(`${values.data}/train.bin`));
  const network = train(digits, { seed, rate, epochs }, ({ number, loss }) => {
    process.stdout.write(`epoch ${number}/${epochs}: loss ${loss.toFixed(4)}\n`);
  });
  writeFileSync(values.output, encodeNetwork(network));
}

function readNumber(option: string, text: string, isValid: (value: number) => boolean): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!isValid(value)) throw new RangeError(`Cannot use "${text}" as --${option}`);
  return value;
}

if (import.meta.main) main();
