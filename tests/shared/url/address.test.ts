import { expect, test } from "bun:test";

import { hostOfUrl, parseFileUrl, shownUrl } from "../../../shared/url/address.ts";

test("shownUrl() shows neither users nor queries", () => {
  expect(shownUrl("https://user:secret@host:8/a/b?key=secret#secret")).toBe("https://host:8/a/b");
  expect(shownUrl("ftp://user:secret@host/a")).toBe("ftp://host/a");
  expect(shownUrl("file:///a/b%20c")).toBe("file:///a/b%20c");
  for (const text of ["user:secret@host/a", "https://user:secret@:99/x", "http://u:secret@[/?x"]) {
    expect(shownUrl(text)).not.toContain("secret");
  }
});

test("parseFileUrl() refuses what workers cannot fetch, and shows no secret", () => {
  expect(parseFileUrl("HTTP://Host/a#part").href).toBe("http://host/a");
  const messages = ["gopher://u:secret@h/", "nothing", "http://h/".padEnd(5_000, "x")].map(
    (text) => {
      try {
        return parseFileUrl(text).href;
      } catch (error) {
        return (error as Error).message;
      }
    },
  );
  expect(messages[0]).toBe(
    'Cannot declare "gopher://h/" as a url: expected http://, https://, ftp:// or file://',
  );
  expect(messages[1]).toContain('Cannot declare "nothing" as a url');
  expect(messages[2]).toContain("it has 5000 characters, 4096 at most are taken");
});

test("hostOfUrl() tells ports apart", () => {
  const urls = ["http://a/x", "https://a/x", "http://a:8/x", "https://u@a:443/y", "file:///a"];
  expect(urls.map(hostOfUrl)).toEqual(["a:80", "a:443", "a:8", "a:443", ""]);
});
