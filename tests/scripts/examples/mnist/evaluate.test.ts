import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import {
  type DigitSet,
  encodeDigitSet,
  PIXEL_COUNT,
} from "../../../../scripts/examples/mnist/digit_set.ts";
import { readDigits } from "../../../../scripts/examples/mnist/digits.ts";
import { evaluate, setup } from "../../../../scripts/examples/mnist/evaluate.ts";
import { encodeNetwork } from "../../../../scripts/examples/mnist/network.ts";
import { train } from "../../../../scripts/examples/mnist/train.ts";

const EXAMPLE = join(import.meta.dir, "../../../../scripts/examples/mnist");
const environmentBefore = process.env["TENDRIL_ENVIRONMENT"];
const root = mkdtempSync(join(tmpdir(), "tendril-evaluate-"));
const modelPath = join(root, "model");

let heldOut: DigitSet;

beforeAll(async () => {
  mkdirSync(join(root, "share/digits"), { recursive: true });
  symlinkSync(EXAMPLE, join(root, "lib"));
  const split = await readDigits();
  heldOut = {
    pixels: split.test.pixels.subarray(0, 300 * PIXEL_COUNT),
    labels: split.test.labels.subarray(0, 300),
  };
  writeFileSync(join(root, "share/digits/test.bin"), encodeDigitSet(heldOut));
  const few = {
    pixels: split.train.pixels.subarray(0, 300 * PIXEL_COUNT),
    labels: split.train.labels.subarray(0, 300),
  };
  writeFileSync(modelPath, encodeNetwork(train(few, { seed: 2, rate: 0.05, epochs: 2 })));
});

afterAll(() => {
  if (environmentBefore === undefined) delete process.env["TENDRIL_ENVIRONMENT"];
  else process.env["TENDRIL_ENVIRONMENT"] = environmentBefore;
  rmSync(root, { recursive: true });
});

/** The definition of the network and of its file, term by term. */
async function countCorrect(from: number, to: number): Promise<number> {
  const weights = new Float32Array(await Bun.file(modelPath).slice(16).arrayBuffer());
  const layer = (inputs: number[], start: number, outputCount: number) =>
    Array.from({ length: outputCount }, (_, output) =>
      inputs.reduce(
        (sum, input, index) => sum + input * weights[start + index * outputCount + output]!,
        weights[start + inputs.length * outputCount + output]!,
      ));
  let correct = 0;
  for (let index = from; index < to; index++) {
    const image = heldOut.pixels.subarray(index * PIXEL_COUNT, (index + 1) * PIXEL_COUNT);
    const hidden = layer(Array.from(image, (byte) => byte / 255), 0, 128);
    const scores = layer(hidden.map((value) => Math.max(0, value)), 785 * 128, 10);
    if (scores.indexOf(Math.max(...scores)) === heldOut.labels[index]) correct++;
  }
  return correct;
}

test("evaluate() counts what a direct computation counts, slice by slice", async () => {
  process.env["TENDRIL_ENVIRONMENT"] = root;
  await setup();
  const correct = await countCorrect(0, 300);
  expect(correct).toBeGreaterThan(150);
  expect(correct).toBeLessThan(300);
  expect(evaluate(modelPath, 0, 300)).toEqual({ correct, total: 300 });
  expect(evaluate(modelPath, 100, 150)).toEqual({
    correct: await countCorrect(100, 150),
    total: 50,
  });
  const thirds = [0, 100, 200].map((from) => evaluate(modelPath, from, from + 100).correct);
  expect(thirds.reduce((a, b) => a + b)).toBe(correct);
});

test("evaluate() refuses a slice that is not within the held-out digits", async () => {
  process.env["TENDRIL_ENVIRONMENT"] = root;
  await setup();
  expect(() => evaluate(modelPath, 200, 301)).toThrow("300 are held out");
  expect(() => evaluate(modelPath, -1, 10)).toThrow("300 are held out");
  expect(() => evaluate(modelPath, 10, 10)).toThrow("300 are held out");
});

test("setup() names what it misses outside a worker", async () => {
  delete process.env["TENDRIL_ENVIRONMENT"];
  await expect(setup()).rejects.toThrow("TENDRIL_ENVIRONMENT is not set");
});
