/**
 * A network of one hidden layer that recognises digits: 784 pixels, 128 hidden units, 10 digits.
 *
 * File format, little-endian: "NET1", then the counts of inputs, hidden units and outputs as 32
 * bits each, then all weights as 32-bit floats in the order of `Network`.
 *
 * `!` stands in the loops because their bounds are constants of this file, and a check would be
 * made ten million times a second.
 */
import { LABEL_COUNT, PIXEL_COUNT } from "./digit_set.ts";
import { newRandom } from "./random.ts";

/** Units of the hidden layer. */
export const HIDDEN_COUNT = 128;

/** Weights of the whole network. */
export const WEIGHT_COUNT: number = (PIXEL_COUNT + 1) * HIDDEN_COUNT +
  (HIDDEN_COUNT + 1) * LABEL_COUNT;

const MAGIC = "NET1";
const HEADER_BYTES = 16;

/**
 * The layers, as views of one array of all weights in this order. The weights of one input stand
 * together, so that a black pixel, as four in five are, is passed over whole.
 */
export interface Network {
  /** All weights: what training changes and a file holds. */
  readonly weights: Float32Array;
  /** `[input * HIDDEN_COUNT + hidden]` */
  readonly hiddenWeights: Float32Array;
  /** `[hidden]` */
  readonly hiddenBiases: Float32Array;
  /** `[hidden * LABEL_COUNT + output]` */
  readonly outputWeights: Float32Array;
  /** `[output]` */
  readonly outputBiases: Float32Array;
}

/** What one image makes of the units; memory that is used again for each image. */
export interface Activations {
  /** After the rectifier: zero or more. */
  readonly hidden: Float32Array;
  /** Before the softmax: the largest is the answer. */
  readonly outputs: Float32Array;
}

/** Makes a network whose weights are views of `weights`, all zero unless given. */
export function newNetwork(weights: Float32Array = new Float32Array(WEIGHT_COUNT)): Network {
  let start = 0;
  const next = (count: number) => weights.subarray(start, start += count);
  return {
    weights,
    hiddenWeights: next(PIXEL_COUNT * HIDDEN_COUNT),
    hiddenBiases: next(HIDDEN_COUNT),
    outputWeights: next(HIDDEN_COUNT * LABEL_COUNT),
    outputBiases: next(LABEL_COUNT),
  };
}

/**
 * Makes a network to train: random weights, biases zero.
 *
 * Source: He et al., "Delving Deep into Rectifiers", 2015, as a uniform distribution.
 */
export function newRandomNetwork(seed: number): Network {
  const random = newRandom(seed);
  const network = newNetwork();
  const fill = (weights: Float32Array, inputCount: number) => {
    const bound = Math.sqrt(6 / inputCount);
    for (let index = 0; index < weights.length; index++) {
      weights[index] = (2 * random() - 1) * bound;
    }
  };
  fill(network.hiddenWeights, PIXEL_COUNT);
  fill(network.outputWeights, HIDDEN_COUNT);
  return network;
}

/** Makes the memory that `activate` writes to. */
export function newActivations(): Activations {
  return { hidden: new Float32Array(HIDDEN_COUNT), outputs: new Float32Array(LABEL_COUNT) };
}

/** Shows one image (`PIXEL_COUNT` bytes) to the network. */
export function activate(network: Network, image: Uint8Array, activations: Activations): void {
  const { hiddenWeights, outputWeights } = network;
  const { hidden, outputs } = activations;
  hidden.set(network.hiddenBiases);
  for (let pixel = 0; pixel < PIXEL_COUNT; pixel++) {
    const ink = image[pixel]! / 255;
    if (ink === 0) continue;
    const start = pixel * HIDDEN_COUNT;
    for (let unit = 0; unit < HIDDEN_COUNT; unit++) {
      hidden[unit]! += ink * hiddenWeights[start + unit]!;
    }
  }
  outputs.set(network.outputBiases);
  for (let unit = 0; unit < HIDDEN_COUNT; unit++) {
    const value = hidden[unit]!;
    if (value <= 0) {
      hidden[unit] = 0;
      continue;
    }
    const start = unit * LABEL_COUNT;
    for (let output = 0; output < LABEL_COUNT; output++) {
      outputs[output]! += value * outputWeights[start + output]!;
    }
  }
}

/** Returns the digit that the network sees in one image (`PIXEL_COUNT` bytes). */
export function classify(network: Network, image: Uint8Array, activations: Activations): number {
  activate(network, image, activations);
  const { outputs } = activations;
  return outputs.indexOf(Math.max(...outputs));
}

/** Packs a network into the bytes of a file. */
export function encodeNetwork({ weights }: Network): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + weights.byteLength);
  bytes.set(new TextEncoder().encode(MAGIC));
  const view = new DataView(bytes.buffer);
  view.setUint32(4, PIXEL_COUNT, true);
  view.setUint32(8, HIDDEN_COUNT, true);
  view.setUint32(12, LABEL_COUNT, true);
  weights.forEach((weight, index) => view.setFloat32(HEADER_BYTES + index * 4, weight, true));
  return bytes;
}

/** Reads a network from the bytes of a file; throws if they are not one of this shape. */
export function decodeNetwork(bytes: Uint8Array): Network {
  const magic = new TextDecoder().decode(bytes.subarray(0, MAGIC.length));
  if (bytes.length < HEADER_BYTES || magic !== MAGIC) {
    throw new SyntaxError(`Cannot read ${bytes.length} bytes as a network: no "${MAGIC}" header`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = [4, 8, 12].map((offset) => view.getUint32(offset, true)).join("-");
  const wanted = [PIXEL_COUNT, HIDDEN_COUNT, LABEL_COUNT].join("-");
  if (shape !== wanted) {
    throw new SyntaxError(`Cannot read a network as ${wanted}: found ${shape}`);
  }
  const sizeBytes = HEADER_BYTES + WEIGHT_COUNT * 4;
  if (bytes.length !== sizeBytes) {
    throw new SyntaxError(
      `Cannot read a network as ${sizeBytes} bytes: found ${bytes.length} bytes`,
    );
  }
  const weights = new Float32Array(WEIGHT_COUNT);
  for (let index = 0; index < WEIGHT_COUNT; index++) {
    weights[index] = view.getFloat32(HEADER_BYTES + index * 4, true);
  }
  return newNetwork(weights);
}
