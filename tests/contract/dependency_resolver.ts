/** What every dependency resolver does: run on each. */

import { expect, test } from "bun:test";

import type { DependencyResolver } from "../../manager/dataflow/dependency.ts";
import { app, AppFuture, inProcess, load } from "../../mod.ts";

/** Where a resolver finds futures. */
export interface ResolverCase {
  readonly name: string;
  readonly resolver: DependencyResolver;
  /** Arguments with the thing in them where it is found, and what they are with `5` in its place. */
  found(thing: unknown): readonly unknown[];
  /** The same, where it is not; undefined if it is found everywhere. */
  missed(thing: unknown): readonly unknown[] | undefined;
}

/** Tests one of them. */
export function testResolver({ name, resolver, found, missed }: ResolverCase): void {
  test(`${name} shows each thing once, and replaces it by what is returned`, () => {
    const thing = Promise.resolve(1);
    const args = found(thing);
    const seen: object[] = [];
    const same = resolver.map(args, (one) => {
      seen.push(one);
      return one;
    });
    expect(seen.filter((one) => one === thing)).toEqual([thing]);
    expect(same).toBe(args);
    expect(resolver.map(args, (one) => one === thing ? 5 : one)).toEqual(found(5));
    expect(args).toEqual(found(thing));
  });

  test(`${name} has calls wait for what it finds, and refuse what it does not`, async () => {
    await using _flow = await load({ executors: [inProcess()], resolver });
    const five = app((n: number) => n + 1);
    const same = app((...args: unknown[]) => args);
    const given = found(five(4));
    expect(await same(...given)).toEqual(found(5) as unknown[]);
    expect(await same(...found(Promise.resolve(5)))).toEqual(found(5) as unknown[]);
    const future = five(4);
    expect(future).toBeInstanceOf(AppFuture);
    const wrong = missed(future);
    if (wrong !== undefined) expect(() => same(...wrong)).toThrow("arguments[0]");
    await future;
  });
}
