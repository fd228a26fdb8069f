import { afterEach, expect, test } from "bun:test";

import { libraryContext, setLibraryContext } from "../../shared/library_context.ts";

afterEach(() => {
  Reflect.deleteProperty(globalThis, Symbol.for("tendril.libraryContext"));
});

test("libraryContext() returns what the context function returned, undefined too", () => {
  setLibraryContext(undefined);
  expect(libraryContext()).toBe(undefined as never);
  setLibraryContext({ a: 1 });
  expect(libraryContext<() => Promise<{ a: number }>>().a).toBe(1);
});

test("libraryContext() throws where no context function has run", () => {
  expect(() => libraryContext()).toThrow(
    "Cannot read the library context here: no context function has run",
  );
});
