import { beforeAll, expect, test } from "bun:test";

import { type DigitSet, PIXEL_COUNT } from "../../../../scripts/examples/mnist/digit_set.ts";
import { readDigits } from "../../../../scripts/examples/mnist/digits.ts";
import {
  classify,
  decodeNetwork,
  encodeNetwork,
  type Network,
  newActivations,
  newRandomNetwork,
  WEIGHT_COUNT,
} from "../../../../scripts/examples/mnist/network.ts";
import { train } from "../../../../scripts/examples/mnist/train.ts";

const OPTIONS = { seed: 5, rate: 0.05, epochs: 3 };

let few: DigitSet;
let heldOut: DigitSet;

beforeAll(async () => {
  const split = await readDigits();
  few = first(split.train, 400);
  heldOut = first(split.test, 500);
});

function first({ pixels, labels }: DigitSet, count: number): DigitSet {
  return { pixels: pixels.subarray(0, count * PIXEL_COUNT), labels: labels.subarray(0, count) };
}

function accuracy(network: Network, { pixels, labels }: DigitSet): number {
  const activations = newActivations();
  const correct = labels.filter((label, index) => {
    const image = pixels.subarray(index * PIXEL_COUNT, (index + 1) * PIXEL_COUNT);
    return classify(network, image, activations) === label;
  });
  return correct.length / labels.length;
}

function digest(network: Network): string {
  return new Bun.CryptoHasher("sha256").update(encodeNetwork(network)).digest("hex");
}

test("train() recognises digits it never saw, after three looks at 400 others", () => {
  expect(accuracy(newRandomNetwork(OPTIONS.seed), heldOut)).toBeLessThan(0.3);
  expect(accuracy(train(few, OPTIONS), heldOut)).toBeGreaterThan(0.7);
});

test("train() reports each epoch with a falling loss", () => {
  const epochs: { number: number; loss: number }[] = [];
  train(few, OPTIONS, (epoch) => epochs.push(epoch));
  expect(epochs.map(({ number }) => number)).toEqual([1, 2, 3]);
  expect(epochs[2]!.loss).toBeLessThan(epochs[1]!.loss);
  expect(epochs[1]!.loss).toBeLessThan(epochs[0]!.loss);
});

test("train() makes the same network from the same options and from no others", () => {
  const model = digest(train(few, OPTIONS));
  expect(digest(train(few, OPTIONS))).toBe(model);
  expect(digest(train(few, { ...OPTIONS, seed: 6 }))).not.toBe(model);
  expect(digest(train(few, { ...OPTIONS, rate: 0.04 }))).not.toBe(model);
});

test("decodeNetwork() reads what encodeNetwork() packs, also from the middle of a buffer", () => {
  const network = newRandomNetwork(1);
  const packed = encodeNetwork(network);
  expect(packed.length).toBe(16 + 4 * WEIGHT_COUNT);
  const larger = new Uint8Array(packed.length + 8);
  larger.set(packed, 3);
  expect(decodeNetwork(larger.subarray(3, 3 + packed.length)).weights).toEqual(network.weights);
});

test("decodeNetwork() refuses what is not a network of this shape and names what it found", () => {
  const packed = encodeNetwork(newRandomNetwork(1));
  expect(() => decodeNetwork(new Uint8Array(3))).toThrow('no "NET1" header');
  expect(() => decodeNetwork(packed.with(8, 64))).toThrow("found 784-64-10");
  expect(() => decodeNetwork(packed.subarray(0, -4))).toThrow(`found ${packed.length - 4} bytes`);
});
