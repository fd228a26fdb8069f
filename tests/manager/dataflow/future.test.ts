import { inspect } from "node:util";

import { expect, test } from "bun:test";

import { app, shellApp } from "../../../manager/dataflow/app.ts";
import { load } from "../../../manager/dataflow/flow.ts";
import { inProcess } from "../../../manager/dataflow/in_process.ts";

test("AppFuture is shown as what it is when nobody awaits it", async () => {
  await using _flow = await load({ executors: [inProcess()] });
  const double = app((n: number) => 2 * n, { name: "double" });
  const future = double(2);
  expect(await future).toBe(4);
  expect(`${future}`).toBe(`AppFuture of double#${future.id} (exec_done)`);
  expect(inspect({ future })).toBe(`{ future: AppFuture of double#${future.id} (exec_done) }`);
});

test("AppFuture.outputs names those that there are, to who asks for another one", async () => {
  await using flow = await load({ workers: 0 });
  const write = shellApp(() => "true > out", { name: "write", outputs: { out: "out" } });
  const future = write();
  const outputs = future.outputs as unknown as { readonly [name: string]: unknown };
  expect(() => outputs["typo"]).toThrow('Cannot find output "typo" of app "write": it has out');
  expect([Object.keys(outputs), outputs["then"], await outputs]).toEqual([
    ["out"],
    undefined,
    outputs,
  ]);
  flow.cancel();
  await expect((async () => await future)()).rejects.toThrow("all calls were cancelled");
});

test("AppFuture.get() of nothing says which key of what", async () => {
  await using _flow = await load({ executors: [inProcess()] });
  const none = app((): { readonly slope: number } => undefined as never, { name: "none" });
  const slope = none().get("slope");
  await expect((async () => await slope)()).rejects.toThrow('Cannot get "slope" of undefined');
});

test("load() refuses what neither it nor a manager takes, and names what there is", async () => {
  await expect(load({ worker: 1 } as never)).rejects.toThrow(
    /^Cannot take "worker" as an option of load: there are .*checkpoint.*workers/,
  );
});

test("app() names what a function lacks in its context", () => {
  const outside = performance.now();
  expect(() => app((n: number) => n + outside, { name: "add" })).toThrow(
    'it uses "outside", neither in its context nor a global of a worker',
  );
  expect(shellApp(() => `echo ${outside}`)).toBeFunction();
});
