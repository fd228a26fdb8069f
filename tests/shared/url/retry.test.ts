import { expect, test } from "bun:test";

import {
  abortableDelay,
  isPassingStatus,
  retryAfterMs,
  retryDelayMs,
} from "../../../shared/url/retry.ts";

function after(text: string): number | undefined {
  return retryAfterMs(new Headers({ "Retry-After": text }), Date.UTC(2020, 0, 1));
}

test("retryAfterMs() reads seconds and dates", () => {
  expect(after("0")).toBe(0);
  expect(after("120")).toBe(120_000);
  expect(after("Wed, 01 Jan 2020 00:00:30 GMT")).toBe(30_000);
  expect(after("Tue, 31 Dec 2019 00:00:00 GMT")).toBe(0);
  for (const text of ["", "soon", "-5", "1.5"]) expect(after(text)).toBeUndefined();
});

test("retryDelayMs() doubles up to a limit, and never all at once", () => {
  expect([1, 2, 3, 20].map((count) => retryDelayMs(count, 0))).toEqual([250, 500, 1_000, 8_000]);
  expect(retryDelayMs(1, 1)).toBe(125);
});

test("isPassingStatus() tells what may pass from what is final", () => {
  expect([408, 429, 500, 503].every(isPassingStatus)).toBe(true);
  expect([400, 401, 403, 404, 410, 501].some(isPassingStatus)).toBe(false);
});

test("abortableDelay() ends with what its signal was aborted with", async () => {
  const controller = new AbortController();
  const delay = abortableDelay(60_000, controller.signal);
  controller.abort(new Error("enough"));
  const late = abortableDelay(60_000, controller.signal);
  for (const each of [delay, late]) {
    expect(await each.catch((error: unknown) => (error as Error).message)).toBe("enough");
  }
  await abortableDelay(0, new AbortController().signal);
});
