import { expect, test } from "bun:test";

import {
  decodeDigitSet,
  type DigitSet,
  encodeDigitSet,
  LABEL_COUNT,
  PIXEL_COUNT,
} from "../../../../scripts/examples/mnist/digit_set.ts";
import { HELD_OUT_COUNT, readDigits } from "../../../../scripts/examples/mnist/digits.ts";

function images({ pixels, labels }: DigitSet): string[] {
  return Array.from(labels, (label, index) => {
    const image = pixels.subarray(index * PIXEL_COUNT, (index + 1) * PIXEL_COUNT);
    return `${label} ${Bun.hash(image)}`;
  });
}

function countByLabel(labels: Uint8Array): number[] {
  const counts = new Array<number>(LABEL_COUNT).fill(0);
  for (const label of labels) counts[label]!++;
  return counts;
}

test("readDigits() splits 10,000 digits, 2,000 of them held out, none in both", async () => {
  const { train, test: heldOut } = await readDigits();
  expect(train.labels.length).toBe(8000);
  expect(heldOut.labels.length).toBe(HELD_OUT_COUNT);
  expect(train.pixels.length).toBe(8000 * PIXEL_COUNT);
  expect(new Set([...images(train), ...images(heldOut)]).size).toBe(10_000);
});

test("readDigits() holds out a fifth of each digit and mixes digits within a slice", async () => {
  const { train, test: heldOut } = await readDigits();
  const learned = countByLabel(train.labels);
  countByLabel(heldOut.labels).forEach((count, label) => {
    expect(Math.abs(count - (count + learned[label]!) / 5)).toBeLessThan(1);
  });
  expect(countByLabel(heldOut.labels.subarray(0, 200)).every((count) => count > 0)).toBe(true);
});

test("readDigits() splits alike each time", async () => {
  const [first, second] = [await readDigits(), await readDigits()];
  expect(images(first.test)).toEqual(images(second.test));
  expect(images(first.train)).toEqual(images(second.train));
});

test("readDigits() gives the bytes whose rounded shares of 255 the package holds", async () => {
  const { test: heldOut } = await readDigits();
  const content = await Bun.file(require.resolve("mnist/src/digits/7.json")).json();
  const index = heldOut.labels.indexOf(7);
  const shares = Array.from(
    heldOut.pixels.subarray(index * PIXEL_COUNT, (index + 1) * PIXEL_COUNT),
    (byte) => byte / 255,
  );
  const isSame = (start: number) =>
    shares.every((share, pixel) => Math.abs(share - content.data[start + pixel]) < 0.0011);
  const starts = Array.from(
    { length: content.data.length / PIXEL_COUNT },
    (_, i) => i * PIXEL_COUNT,
  );
  expect(starts.filter(isSame).length).toBe(1);
});

test("decodeDigitSet() reads what encodeDigitSet() packs, also from the middle of a buffer", () => {
  const set = {
    pixels: Uint8Array.from({ length: 3 * PIXEL_COUNT }, (_, index) => index % 256),
    labels: Uint8Array.of(9, 0, 4),
  };
  const packed = encodeDigitSet(set);
  expect(packed.length).toBe(16 + 3 * PIXEL_COUNT + 3);
  const larger = new Uint8Array(packed.length + 8);
  larger.set(packed, 5);
  expect(decodeDigitSet(larger.subarray(5, 5 + packed.length))).toEqual(set);
});

test("decodeDigitSet() refuses what is not a digit set and names what it found", () => {
  const packed = encodeDigitSet({ pixels: new Uint8Array(PIXEL_COUNT), labels: Uint8Array.of(3) });
  expect(() => decodeDigitSet(new Uint8Array(3))).toThrow('no "DIG1" header');
  expect(() => decodeDigitSet(packed.subarray(0, 20))).toThrow("found 20 bytes");
  expect(() => decodeDigitSet(packed.with(8, 27))).toThrow("27 by 28");
  expect(() => decodeDigitSet(packed.with(packed.length - 1, 10))).toThrow('label "10"');
});
