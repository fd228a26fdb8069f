/** What every serializer does: run on each, on every executor. */

import { expect, test } from "bun:test";

import { app, joinApp, load, shellApp } from "../../mod.ts";
import type { Executor } from "../../manager/dataflow/executor.ts";
import type { AnySerializer } from "../../manager/dataflow/serializer.ts";

/** A serializer with an object of its class. */
export interface SerializerCase<T extends object> {
  readonly serializer: AnySerializer;
  make(): T;
  /** What is looked at of an object. */
  seen(value: T): unknown;
}

/** Tests one of them. */
export function testSerializer<T extends object>(
  { serializer, make, seen }: SerializerCase<T>,
  executors: () => readonly ("manager" | Executor)[],
): void {
  const { name } = serializer;

  test(`The serializer of ${name} has its objects travel, at any depth`, async () => {
    const given = executors();
    await using _flow = await load({ executors: given, serializers: [serializer] });
    const isSame = (value: unknown): unknown => value;
    const wrap = app(isSame as (value: { deep: readonly T[] }) => { deep: readonly T[] });
    for (const executor of given) {
      const label = typeof executor === "string" ? executor : executor.label;
      const on = wrap.with({ executor: label });
      const value = await on(on({ deep: [make(), make()] }));
      expect(value.deep.map((one) => serializer.is(one))).toEqual([true, true]);
      expect(value.deep.map(seen)).toEqual([seen(make()), seen(make())]);
      const promised = await on({ deep: [Promise.resolve(make())] });
      expect(seen(promised.deep[0]!)).toEqual(seen(make()));
      expect(seen(await on({ deep: [make()] }).get("deep").get(0))).toEqual(seen(make()));
    }
    const told = shellApp((value: T) => `echo ${serializer.is(value)}`);
    const joined = joinApp((value: T) => [wrap({ deep: [value] }), value]);
    if (given.length > 1) expect((await told(make())).stdout).toBe("true\n");
    const [first, second] = await joined(make()) as [{ deep: readonly T[] }, T];
    expect([seen(first.deep[0]!), seen(second)]).toEqual([seen(make()), seen(make())]);
  }, 60_000);
}
