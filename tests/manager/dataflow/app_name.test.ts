import { expect, test } from "bun:test";

import { app, joinApp, shellApp } from "../../../manager/dataflow/app.ts";

const tools = { app };

test("app() of a function without a name is called as what it is assigned to", () => {
  const add = app((a: number, b: number) => a + b);
  const generic = app<[a: number], number>((a) => a);
  const typed: { readonly appName: string } = app((a: number) => a);
  const far = tools.app((a: number) => a);
  const holder = { inner: app((a: number) => a), sort: shellApp((a: string) => `sort ${a}`) };
  const broken = app(
    (a: number) => a,
  );
  const slots: { later?: { readonly appName: string } } = {};
  slots.later = joinApp(() => []);
  expect([add, generic, typed, far, broken, slots.later].map(({ appName }) => appName)).toEqual([
    "add",
    "generic",
    "typed",
    "far",
    "broken",
    "later",
  ]);
  expect([holder.inner.appName, holder.sort.appName]).toEqual(["inner", "sort"]);
});

test("app() of a function with a name has that, and with() keeps it", () => {
  function area(a: number, b: number): number {
    return a * b;
  }
  const other = app(area);
  const named = app((a: number) => a, { name: "mine" });
  expect([other.appName, other.with({ retries: 1 }).appName, named.appName]).toEqual([
    "area",
    "area",
    "mine",
  ]);
});

test("app() of a function without a name that is assigned to nothing has the place for one", () => {
  const all = [app((a: number) => a)];
  const made = (() => app((a: number) => a))();
  for (const { appName } of [...all, made]) expect(appName).toMatch(/^app_name\.test\.ts:\d+$/);
});
