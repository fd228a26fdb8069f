import { expect, test } from "bun:test";

import { Manager } from "../../manager/manager.ts";
import { FakeWorker } from "./fake_worker.ts";

const LIBRARY = { name: "digits", command: "true", slots: 4 } as const;

test("readCall() gives a call what it states beside its instance", async () => {
  await using manager = await Manager.start({ name: "oak" });
  const library = manager.library(LIBRARY);
  const wish = { cores: 2, memory: "100MB", disk: 1_000 };
  library.with(wish).call("f");
  library.with({ timeout: "1s" }).call("g");
  const worker = await FakeWorker.join("oak", { cores: 8 });
  const { shapes } = await worker.next("dispatch");
  expect(shapes).toMatchObject([
    { resources: { cores: 2, memoryBytes: 100e6, diskBytes: 1_000 } },
    { resources: { cores: 0, memoryBytes: 0, diskBytes: 0 }, timeoutMs: 1_000 },
  ]);
  worker.close();
});

test("readCall() refuses what libraries state, and says why", async () => {
  await using manager = await Manager.start({ name: "elm" });
  const library = manager.library(LIBRARY);
  const callWith = (options: object) => () => library.with(options).call("f");
  expect(callWith({ gpus: 1 })).toThrow(
    'Cannot take gpus "1" as an option of a call: an instance of the library has its devices, ' +
      "which its calls use",
  );
  expect(callWith({ slots: 2 })).toThrow(
    'Cannot take slots "2" as an option of a call: state it of the library',
  );
  expect(callWith({ env: {} })).toThrow("as an option of a call: its process has the variables");
  expect(callWith({ memory: 8 })).toThrow("memory of a call");
  expect(callWith({ cores: -1 })).toThrow("cores of a call");
  expect(callWith({ colour: 1 })).toThrow('Cannot take "colour" as an option of a call: there are');
});
