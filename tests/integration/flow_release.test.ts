/** What becomes of files in the cluster that the script cannot ask for any more. */

import { expect, test } from "bun:test";

import { app, load, shellApp } from "../../mod.ts";
import { until } from "./scratch.ts";

test(
  "a flow gives up large values and files of calls whose futures are gone, and no others",
  async () => {
    await using flow = await load({ workers: 1 });
    const forgotten: number[] = [];
    flow.manager.subscribe((facts) => {
      for (const fact of facts) if (fact.kind === "file_forgotten") forgotten.push(fact.fileId);
    });
    const fill = app((size: number) => new Uint8Array(size).fill(7), { name: "fill" });
    const size = app((bytes: Uint8Array) => bytes.length, { name: "size" });
    const write = shellApp((text: string) => `echo ${text} > out`, {
      name: "write",
      outputs: { out: "out" },
    });
    const kept = fill(2_000_000);
    const keptFile = write("oak").outputs.out;
    await Promise.all([kept, keptFile]);
    const before = forgotten.length;
    // In a function of its own, of which nothing is left.
    await (async () => {
      expect(await size(fill(3_000_000))).toBe(3_000_000);
      expect(await write("elm").outputs.out.text()).toBe("elm\n");
    })();
    await until(() => {
      Bun.gc(true);
      return forgotten.length >= before + 2;
    }, "both files are given up");
    expect(await size(kept)).toBe(2_000_000);
    expect(await keptFile.text()).toBe("oak\n");
  },
  120_000,
);
