import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { Manager } from "../../mod.ts";
import { declareGated, LIBRARY_KINDS } from "./gated_library.ts";
import { Scratch, until } from "./scratch.ts";

test.each(LIBRARY_KINDS)(
  "A call of a %s library that is cancelled while it runs is gone, and its slot serves the next",
  async (kind) => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager);
    const { library, gate } = declareGated(manager, { scratch, kind });
    const running = library.call<number>("work", 1);
    const next = library.call<number>("work", 2);
    await until(() => existsSync(gate.pid), "the call runs");
    const cancelled = readFileSync(gate.call, "latin1");
    running.cancel();
    expect((await running).outcome).toBe("cancelled");
    await until(() => !existsSync(`/proc/${cancelled}`), "its process has gone");
    await until(() => readFileSync(gate.call, "latin1") !== cancelled, "the next call runs");
    writeFileSync(gate.gate, "");
    expect(await next.value()).toBe(2);
    expect(readFileSync(gate.log, "latin1").trim()).toBe("2");
  },
  120_000,
);
