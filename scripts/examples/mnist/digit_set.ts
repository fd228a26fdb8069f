/**
 * Labelled images of digits, as one compact file.
 *
 * Format, integers little-endian: "DIG1", then image count, rows and columns as 32 bits each; then
 * the pixels of all images, one byte each, row by row (0 is paper, 255 is ink); then one byte a
 * label. The idea is the IDX format of the MNIST database, with both of its files in one.
 */

/** Pixels of one image. */
export const PIXEL_COUNT: number = 28 * 28;

/** Different labels: the digits 0 to 9. */
export const LABEL_COUNT = 10;

const MAGIC = "DIG1";
const HEADER_BYTES = 16;
const SIDE = 28;

/** Images in some order, and what each one shows. */
export interface DigitSet {
  /** One byte a pixel, `PIXEL_COUNT` an image, images one after the other. */
  readonly pixels: Uint8Array;
  /** 0 to 9, one an image. */
  readonly labels: Uint8Array;
}

/** Packs a set into the bytes of a file. */
export function encodeDigitSet({ pixels, labels }: DigitSet): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + pixels.length + labels.length);
  bytes.set(new TextEncoder().encode(MAGIC));
  const header = new DataView(bytes.buffer, 0, HEADER_BYTES);
  header.setUint32(4, labels.length, true);
  header.setUint32(8, SIDE, true);
  header.setUint32(12, SIDE, true);
  bytes.set(pixels, HEADER_BYTES);
  bytes.set(labels, HEADER_BYTES + pixels.length);
  return bytes;
}

/** Reads a set from the bytes of a file, which it goes on using; throws if they are not one. */
export function decodeDigitSet(bytes: Uint8Array): DigitSet {
  const magic = new TextDecoder().decode(bytes.subarray(0, MAGIC.length));
  if (bytes.length < HEADER_BYTES || magic !== MAGIC) {
    throw new SyntaxError(`Cannot read ${bytes.length} bytes as a digit set: no "${MAGIC}" header`);
  }
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const count = header.getUint32(4, true);
  const rows = header.getUint32(8, true);
  const columns = header.getUint32(12, true);
  if (rows !== SIDE || columns !== SIDE) {
    throw new SyntaxError(`Cannot read images as ${SIDE} by ${SIDE}: ${rows} by ${columns}`);
  }
  const labelsStart = HEADER_BYTES + count * PIXEL_COUNT;
  if (bytes.length !== labelsStart + count) {
    const wanted = `${count} digits of ${labelsStart + count} bytes`;
    throw new SyntaxError(`Cannot read a digit set as ${wanted}: found ${bytes.length} bytes`);
  }
  const labels = bytes.subarray(labelsStart);
  const wrong = labels.find((label) => label >= LABEL_COUNT);
  if (wrong !== undefined) throw new SyntaxError(`Cannot read label "${wrong}" as a digit: 0 to 9`);
  return { pixels: bytes.subarray(HEADER_BYTES, labelsStart), labels };
}
