import { describe, expect, test } from "bun:test";

import {
  hrefOf,
  readRoute,
  readToken,
  withParams,
} from "../../../../manager/dashboard/page/route.ts";

describe("readRoute()", () => {
  test("readRoute() of an empty fragment is the overview", () => {
    for (const hash of ["", "#", "#/"]) {
      expect(readRoute(hash)).toMatchObject({ page: "", id: undefined });
    }
  });

  test("readRoute() gives back what hrefOf() was given", () => {
    const params = new URLSearchParams({ q: "a b&c=d?#/", sort: "-ran" });
    const route = readRoute(hrefOf("workers", "node/1 ü?", params));
    expect([route.page, route.id]).toEqual(["workers", "node/1 ü?"]);
    expect([...route.params]).toEqual([...params]);
  });

  test("readRoute() takes a broken escape as it is", () => {
    expect(readRoute("#/workers/%zz").id).toBe("%zz");
  });
});

test("withParams() sets some, takes away what is set to nothing, and changes no other", () => {
  const params = new URLSearchParams("q=x&state=done&sort=-ran");
  const changed = withParams(params, { q: "", state: "running", kind: undefined, worker: "w" });
  expect(changed.toString()).toBe("state=running&sort=-ran&worker=w");
  expect(params.get("q")).toBe("x");
});

describe("readToken()", () => {
  const token = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4";

  test("readToken() finds the token of a fragment, of a pasted link, or by itself", () => {
    for (const text of [`#${token}`, `#token=${token}`, `http://h:1/#${token}`, ` ${token}\n`]) {
      expect(readToken(text)).toBe(token);
    }
  });

  test("readToken() takes no page and no address for a token", () => {
    for (
      const text of ["", "#/tasks/7", "#/tasks?q=aaaaaaaaaaaaaaaaaaaa", "short", `#a/${token}`]
    ) {
      expect(readToken(text)).toBeUndefined();
    }
  });
});
