/**
 * Hostile inputs from valid ones, by a seed, and what must hold while they are taken.
 *
 * An ordinary run takes `INPUTS` of them in all. For more, and others:
 *
 *     TENDRIL_FUZZ_INPUTS=60000000 TENDRIL_FUZZ_SEED=7 bun test --timeout 7200000 tests/fuzz
 *
 * is about an hour's worth. A failure names the seed and the number of its input: the same seed
 * makes the same inputs again.
 *
 * @module
 */

import process from "node:process";
import { setImmediate } from "node:timers/promises";

import { newRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";

/** Inputs of one run of all fuzz tests together; each test takes its share of them. */
const INPUTS: number = Number(process.env["TENDRIL_FUZZ_INPUTS"] ?? 100_000);

const SEED: number = Number(process.env["TENDRIL_FUZZ_SEED"] ?? 20_260_101);

/** How much the process may grow while one test takes its inputs, whatever their number. */
export const GROWTH_BYTES_MAX: number = 384 * 1024 * 1024;

/** The loop of events goes on after so many inputs that were taken without a wait. */
const INPUTS_PER_TURN = 500;

/** Numbers that lengths and counts are replaced by. */
const LENGTHS: readonly number[] = [0, 1, 0x17, 0x18, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff];

/** One source of hostile inputs. */
export class Fuzzer {
  #random: RandomState = newRandom(SEED);

  /** A whole number in [0, `bound`). */
  below(bound: number): number {
    return nextRandomBelow(this.#random, bound);
  }

  /** One of `choices`. */
  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)];
    if (choice === undefined) throw new RangeError("Cannot pick of nothing");
    return choice;
  }

  /** Bytes without any sense. */
  bytes(sizeMax: number): Uint8Array {
    return Uint8Array.from({ length: this.below(sizeMax) }, () => this.below(256));
  }

  /** `valid` with one to four faults; now and then as it is, or nothing of it. */
  mutated(valid: Uint8Array, others: readonly Uint8Array[] = [valid]): Uint8Array {
    if (this.below(40) === 0) return valid.slice();
    if (this.below(40) === 0) return this.bytes(256);
    let bytes: Uint8Array<ArrayBuffer> = new Uint8Array(valid);
    for (let count = 1 + this.below(4); count > 0; count--) bytes = this.#fault(bytes, others);
    return bytes;
  }

  /** `valid` with faults, as text of any characters. */
  mutatedText(valid: string): string {
    return new TextDecoder().decode(this.mutated(new TextEncoder().encode(valid)));
  }

  /**
   * Has `take` take `share` of all inputs. Fails when one throws, when a promise is rejected that
   * nobody holds, or when the process has grown by more than `GROWTH_BYTES_MAX`.
   */
  async run(share: number, take: (index: number) => void | Promise<void>): Promise<number> {
    const count = Math.max(1, Math.round(INPUTS * share));
    const stray: unknown[] = [];
    const note = (error: unknown): void => void stray.push(error);
    process.on("unhandledRejection", note);
    process.on("uncaughtException", note);
    const before = process.memoryUsage().rss;
    try {
      for (let index = 0; index < count; index++) {
        // An input does not depend on the ones before it.
        this.#random = newRandom(SEED + index * 7919);
        await this.#takeOne(index, take);
        if (index % INPUTS_PER_TURN === 0) await setImmediate();
        if (stray.length > 0) throw new Error(`${named(index)}: nobody caught ${stray[0]}`);
      }
    } finally {
      process.off("unhandledRejection", note);
      process.off("uncaughtException", note);
    }
    const grownBytes = process.memoryUsage().rss - before;
    if (grownBytes > GROWTH_BYTES_MAX) {
      throw new Error(`The process has grown by ${grownBytes} bytes over ${count} inputs`);
    }
    return count;
  }

  async #takeOne(index: number, take: (index: number) => void | Promise<void>): Promise<void> {
    try {
      await take(index);
    } catch (error) {
      throw new Error(`${named(index)}: ${error instanceof Error ? error.stack : error}`, {
        cause: error,
      });
    }
  }

  #fault(bytes: Uint8Array<ArrayBuffer>, others: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
    const at = this.below(bytes.length + 1);
    switch (this.below(9)) {
      case 0:
        return bytes.slice(0, at);
      case 1:
        return joined(bytes.subarray(0, at), this.bytes(16), bytes.subarray(at));
      case 2:
        return joined(
          bytes.subarray(0, at),
          bytes.subarray(Math.min(bytes.length, at + 1 + this.below(8))),
        );
      case 3: {
        const other = this.pick(others);
        return joined(bytes.subarray(0, at), other.subarray(this.below(other.length + 1)));
      }
      case 4: {
        // A part twice, or many times.
        const part = bytes.subarray(at, at + 1 + this.below(32));
        const parts = Array.from({ length: 1 + this.below(8) }, () => part);
        return joined(bytes.subarray(0, at), ...parts, bytes.subarray(at));
      }
      case 5:
        // A length that is a lie, of one, two or four bytes.
        if (bytes.length < 5) return bytes;
        writeNumber(bytes, at, { value: this.pick(LENGTHS), width: this.pick([1, 2, 4]) });
        return bytes;
      case 6:
        bytes.fill(this.below(256), at, at + this.below(16));
        return bytes;
      default:
        if (bytes.length > 0) bytes[at % bytes.length]! ^= 1 << this.below(8);
        return bytes;
    }
  }
}

function named(index: number): string {
  return `TENDRIL_FUZZ_SEED=${SEED}, input ${index}`;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function writeNumber(
  bytes: Uint8Array,
  at: number,
  { value, width }: { readonly value: number; readonly width: number },
): void {
  for (let index = 0; index < width && at + index < bytes.length; index++) {
    bytes[at + index] = (value / 256 ** (width - 1 - index)) & 255;
  }
}
