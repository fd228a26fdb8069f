import { expect, test } from "bun:test";

import type { LibrarySlot } from "../../../worker/library/library_slot.ts";
import {
  freestSlot,
  giveCall,
  newHeldCall,
  newSlot,
  noteDuration,
  openSlots,
  type Slot,
  takeCall,
} from "../../../worker/library/slot_calls.ts";

const bytes = new Uint8Array([0x80]);

/** A slot that serves calls of that duration, with as many in its hands as it takes. */
function filledSlot(callMs: number): { readonly slot: Slot; fill(): number } {
  const process = { isServing: true } as LibrarySlot;
  const slot = newSlot({ index: 0, width: 1, process });
  slot.isReady = true;
  slot.callsAhead = 256;
  noteDuration(slot, callMs);
  let lastId = 0;
  const fill = (): number => {
    openSlots([slot]);
    const before = slot.calls.length;
    while (freestSlot([slot], bytes.length) !== undefined) {
      lastId += 1;
      const call = { callId: lastId, function: "f", arguments: bytes, directory: "", files: [] };
      giveCall(slot, newHeldCall({ ...call, timeoutMs: 0 }), lastId);
    }
    return slot.calls.length - before;
  };
  fill();
  return { slot, fill };
}

/** Its first calls end. */
function end(slot: Slot, count: number): void {
  for (const { pipeId } of slot.calls.slice(0, count)) takeCall(slot, pipeId, 0);
}

test("openSlots() has a slot of many short calls filled up when half of them have ended", () => {
  const { slot, fill } = filledSlot(2 ** -7);
  const count = slot.calls.length;
  expect(count).toBe(257);
  end(slot, 128);
  expect(fill()).toBe(0);
  end(slot, 1);
  expect(fill()).toBe(129);
  expect(slot.calls.length).toBe(count);
});

test("openSlots() has a slot of few calls given another one at once", () => {
  const { slot, fill } = filledSlot(0.5);
  expect(slot.calls.length).toBe(5);
  end(slot, 1);
  expect(fill()).toBe(1);
});
