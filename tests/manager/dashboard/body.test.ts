import { expect, test } from "bun:test";

import { BODY_BYTES_MAX, BodyError, readBody } from "../../../manager/dashboard/body.ts";

/** A request with a body that comes in these parts, and ends or does not. */
function requestOf(parts: readonly string[], { isEnding }: { readonly isEnding: boolean }) {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      if (isEnding) controller.close();
    },
  });
  // Node's types lack what a stream needs here.
  const init = { method: "POST", body, duplex: "half" } as RequestInit;
  return { req: { raw: new Request("http://localhost/", init) } };
}

async function failureOf(work: Promise<unknown>): Promise<BodyError> {
  const error = await work.then(() => undefined, (error: unknown) => error);
  if (error instanceof BodyError) return error;
  throw new Error("Cannot find the failure of a body", { cause: error });
}

const asIs = (value: unknown): unknown => value;

test("readBody() reads JSON that comes in parts, and has it checked", async () => {
  expect(await readBody(requestOf(['{"a"', ":1}"], { isEnding: true }), asIs)).toEqual({ a: 1 });
  const refuse = () => {
    throw new TypeError("Cannot read it");
  };
  const failure = await failureOf(readBody(requestOf(["1"], { isEnding: true }), refuse));
  expect([failure.status, failure.message]).toEqual([400, "Cannot read it"]);
  const bug = () => {
    throw new RangeError("a bug");
  };
  await expect(readBody(requestOf(["1"], { isEnding: true }), bug)).rejects.toThrow("a bug");
});

test("readBody() waits for so long, and takes so much", async () => {
  const slow = await failureOf(readBody(requestOf(["[1,"], { isEnding: false }), asIs, 5));
  expect([slow.status, slow.message]).toEqual([
    408,
    "Cannot wait for the body for more than 5 ms",
  ]);
  const parts = ["a".repeat(BODY_BYTES_MAX), "b"];
  const large = await failureOf(readBody(requestOf(parts, { isEnding: false }), asIs));
  expect([large.status, large.message]).toEqual([
    413,
    `Cannot take a body above ${BODY_BYTES_MAX} bytes`,
  ]);
});

test("readBody() refuses what was cut off: that is no failure of the manager's", async () => {
  const body = new ReadableStream({
    pull: () => {
      throw new Error("The connection was closed");
    },
  });
  const init = { method: "POST", body, duplex: "half" } as RequestInit;
  const raw = new Request("http://localhost/", init);
  const cut = await failureOf(readBody({ req: { raw } }, asIs));
  expect([cut.status, cut.message]).toEqual([400, "Cannot read the body: it was cut off"]);
});
