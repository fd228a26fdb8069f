/** Shapes: right messages pass, wrong ones are named by field; types tie shapes to protocol.ts. */

import { expect, test } from "bun:test";

import { decodeFrame, encodeFrame } from "../../shared/codec.ts";
import { FrameError } from "../../shared/frame_error.ts";
import {
  type Check,
  checkMessages,
  flag,
  type Kinds,
  kinds,
  list,
  natural,
  oneOf,
  optional,
  record,
  shape,
  text,
} from "../../shared/message_check.ts";
import { managerMessage, workerMessage } from "../../shared/message_shapes.ts";
import type { ManagerMessage, WorkerMessage } from "../../shared/protocol.ts";
import { newRandom, nextRandomBelow } from "../../shared/random.ts";
import { MANAGER_SAMPLES, WORKER_SAMPLES } from "./message_samples.ts";

type Sample = { readonly kind: "a"; readonly n: number; readonly s?: string } | {
  readonly kind: "b";
  readonly level: "low" | "high";
};

const sample: Check<Sample> = kinds<Sample>({
  a: { n: natural, s: optional(text(5)) },
  b: { level: oneOf(["low", "high"]) },
});

test("kinds() demands a shape for every kind and every field, of its type", () => {
  const wrong: unknown[] = [];
  // @ts-expect-error b is missing
  wrong.push((): Kinds<Sample> => ({ a: { n: natural, s: optional(text(5)) } }));
  // @ts-expect-error n is missing
  wrong.push((): Kinds<Sample>["a"] => ({ s: optional(text(5)) }));
  // @ts-expect-error s may be absent
  wrong.push((): Kinds<Sample>["a"] => ({ n: natural, s: text(5) }));
  // @ts-expect-error n may not be absent
  wrong.push((): Kinds<Sample>["a"] => ({ n: optional(natural), s: optional(text(5)) }));
  // @ts-expect-error n is a number
  wrong.push((): Kinds<Sample>["a"] => ({ n: flag, s: optional(text(5)) }));
  // @ts-expect-error a literal is missing
  wrong.push((): Kinds<Sample>["b"] => ({ level: oneOf(["low"]) }));
  // @ts-expect-error a literal too many
  wrong.push((): Kinds<Sample>["b"] => ({ level: oneOf(["low", "high", "top"]) }));
  // @ts-expect-error c is no kind
  wrong.push((): Kinds<Sample> => ({ ...({} as Kinds<Sample>), c: {} }));
  expect(wrong.length).toBe(8);
});

test("kinds() accepts a known kind with its fields, and others beside them", () => {
  expect(sample({ kind: "a", n: 1 })).toBeUndefined();
  expect(sample({ kind: "a", n: 1, s: "five5", later: true })).toBeUndefined();
  expect(sample({ kind: "b", level: "low" })).toBeUndefined();
});

test("kinds() says which field is wrong", () => {
  expect(sample({ kind: "a", n: -1 })).toBe(".n is not a whole number from 0");
  expect(sample({ kind: "a", n: 1, s: "sixsix" })).toBe(".s is longer than 5 characters");
  expect(sample({ kind: "b", level: "toString" })).toBe(".level is not one of low, high");
  expect(sample({ kind: "constructor" })).toBe(".kind is not known");
  for (const value of [null, undefined, 1, "a", [], new Uint8Array(1)]) {
    expect(sample(value)).toBe(" is not a map");
  }
  const nested = shape<{ readonly a: readonly { readonly [name: string]: boolean }[] }>({
    a: list(record(flag)),
  });
  expect(nested({ a: [{}, { x: 1 }] })).toBe('.a[1]["x"] is not true or false');
});

test("checkMessages() throws a FrameError that names message and field", () => {
  const messages = [{ kind: "heartbeat" }, { kind: "recall", taskId: 1, try: 0 }];
  expect(() => checkMessages(managerMessage, messages)).toThrow(
    'Cannot take message "recall": message.try is not a whole number from 1',
  );
  try {
    checkMessages(managerMessage, [{ kind: "k".repeat(1000) }]);
    expect.unreachable();
  } catch (error) {
    expect((error as FrameError).reason).toBe("unknown_kind");
    expect((error as FrameError).message.length).toBeLessThan(120);
  }
});

test("managerMessage and workerMessage accept a sample of every kind, over the wire", () => {
  const sent: ManagerMessage[] = Object.values(MANAGER_SAMPLES).flat();
  const frames = encodeFrame(sent, { compress: false });
  const taken = frames.flatMap((f) => checkMessages(managerMessage, decodeFrame(f)));
  expect(taken).toEqual(sent);
  const reported: WorkerMessage[] = Object.values(WORKER_SAMPLES).flat();
  const back = encodeFrame(reported, { compress: true });
  expect(back.flatMap((f) => checkMessages(workerMessage, decodeFrame(f)))).toEqual(reported);
});

test("managerMessage refuses a dispatch whose task has no shape", () => {
  const dispatch = MANAGER_SAMPLES.dispatch[0]!;
  expect(managerMessage({ ...dispatch, shapes: [] })).toBe(
    ".tasks[0].shape is not an index of shapes",
  );
});

/** Of whole messages. */
const OPTIONAL_FIELDS: ReadonlySet<string> = new Set(["session", "isRetiring", "startMs"]);

test("managerMessage refuses every sample with a required field removed or of another type", () => {
  for (
    const [check, samples] of [
      [managerMessage, Object.values(MANAGER_SAMPLES).flat()],
      [workerMessage, Object.values(WORKER_SAMPLES).flat()],
    ] as const
  ) {
    for (const message of samples) {
      for (const key of Object.keys(message)) {
        expect(check({ ...message, [key]: { wrong: true } })).toBeString();
        if (OPTIONAL_FIELDS.has(key)) continue;
        expect(check({ ...message, [key]: undefined })).toBeString();
      }
    }
  }
});

test("decodeFrame() and checkMessages() take 10,000 random and mutated frames or refuse them", () => {
  const random = newRandom(20_261_121);
  const good = [
    ...encodeFrame(Object.values(MANAGER_SAMPLES).flat(), { compress: false }),
    ...encodeFrame(Object.values(WORKER_SAMPLES).flat(), { compress: false }),
    ...encodeFrame(Object.values(WORKER_SAMPLES).flat(), { compress: true }),
  ];
  const counts = { taken: 0, refused: 0 };
  for (let i = 0; i < 10_000; i++) {
    const frame = i % 4 === 0
      ? Uint8Array.from(
        { length: nextRandomBelow(random, 200) },
        () => nextRandomBelow(random, 256),
      )
      : good[nextRandomBelow(random, good.length)]!.slice();
    if (i % 4 === 0 && frame.length > 0) frame[0] = nextRandomBelow(random, 3);
    const changes = i % 4 === 0 ? 0 : 1 + nextRandomBelow(random, 4);
    for (let c = 0; c < changes; c++) {
      frame[nextRandomBelow(random, frame.length)] = nextRandomBelow(random, 256);
    }
    try {
      const messages = decodeFrame(frame);
      if (i % 2 === 0) checkMessages(managerMessage, messages);
      else checkMessages(workerMessage, messages);
      counts.taken++;
    } catch (error) {
      expect(error).toBeInstanceOf(FrameError);
      counts.refused++;
    }
  }
  expect(counts.taken + counts.refused).toBe(10_000);
  expect(counts.refused).toBeGreaterThan(5000);
});
