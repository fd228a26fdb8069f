import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";

import {
  findPrefixes,
  PLACEHOLDER,
  withPlaceholder,
  withPlaceholderInBinary,
} from "../../../worker/packing/prefix.ts";

const PREFIX = Buffer.from("/opt/env");

function replaced(text: string, prefixes = [PREFIX]): string {
  const bytes = Buffer.from(text);
  return withPlaceholder(bytes, findPrefixes(bytes, prefixes), "<>").toString();
}

test("PLACEHOLDER is a path of 255 bytes, as conda's", () => {
  expect(Buffer.byteLength(PLACEHOLDER)).toBe(255);
  expect(PLACEHOLDER).toMatch(/^\/tendril(_placehold)+(_\w*)?$/);
});

test.each([
  ["#!/opt/env/bin/python3", "#!<>/bin/python3"],
  ["/opt/env", "<>"],
  ['prefix="/opt/env"', 'prefix="<>"'],
  ["-L/opt/env/lib -I/opt/env/include", "-L<>/lib -I<>/include"],
  ["-Wl,-rpath,/opt/env/lib:/opt/env/lib64", "-Wl,-rpath,<>/lib:<>/lib64"],
  ["file:///opt/env/x", "file://<>/x"],
  ["It is in /opt/env. Look there.", "It is in <>. Look there."],
  [
    "/opt/env2/bin /opt/env-old /opt/env.d/x /opt/envé",
    "/opt/env2/bin /opt/env-old /opt/env.d/x /opt/envé",
  ],
  ["/mnt/opt/env/bin ../opt/env", "/mnt/opt/env/bin ../opt/env"],
  ["http://host/opt/env", "http://host/opt/env"],
  ["/opt/env/opt/env", "<>/opt/env"],
])("findPrefixes() finds in %j the paths that begin there, and no other", (text, expected) => {
  expect(replaced(text)).toBe(expected);
});

test("findPrefixes() finds every name of the directory, in order", () => {
  const prefixes = [Buffer.from("/data/env"), PREFIX];
  expect(replaced("a /opt/env/x b /data/env/y c /opt/env", prefixes)).toBe("a <>/x b <>/y c <>");
  const nested = [PREFIX, Buffer.from("/opt/env/opt")];
  expect(replaced("/opt/env/opt/x /opt/env/y", nested)).toBe("<>/x <>/y");
});

const LONG = "/a/placeholder/of/some/length";
const GROWTH = LONG.length - PREFIX.length;

function binary(text: string) {
  const bytes = Buffer.from(text, "latin1");
  const result = withPlaceholderInBinary(bytes, findPrefixes(bytes, [PREFIX]), LONG);
  expect(result.bytes.length).toBe(bytes.length);
  return { ...result, bytes: result.bytes.toString("latin1") };
}

test("withPlaceholderInBinary() takes the room that conda left behind a string", () => {
  const [one, two] = ["\0".repeat(GROWTH), "\0".repeat(2 * GROWTH)];
  expect(binary(`\x7fELF/opt/env/lib\0${one}rest`)).toEqual({
    bytes: `\x7fELF${LONG}/lib\0rest`,
    replacedCount: 1,
    leftCount: 0,
  });
  expect(binary(`PATH=/opt/env/bin:/opt/env/sbin\0${two}\0rest`)).toEqual({
    bytes: `PATH=${LONG}/bin:${LONG}/sbin\0\0rest`,
    replacedCount: 2,
    leftCount: 0,
  });
});

test("withPlaceholderInBinary() leaves a string that has no room, and takes the others", () => {
  const room = "\0".repeat(GROWTH);
  const tight = "\0".repeat(GROWTH - 1);
  const text = `/opt/env/a\0${tight}x/opt/env/b\0${room}/opt/env/c`;
  expect(binary(text)).toEqual({
    bytes: `/opt/env/a\0${tight}x${LONG}/b\0/opt/env/c`,
    replacedCount: 1,
    leftCount: 2,
  });
});

test("withPlaceholderInBinary() pads a string that a short placeholder makes shorter", () => {
  const bytes = Buffer.from("/opt/env/lib\0rest", "latin1");
  const { bytes: result } = withPlaceholderInBinary(bytes, findPrefixes(bytes, [PREFIX]), "/p");
  expect(result.toString("latin1")).toBe("/p/lib\0\0\0\0\0\0\0rest");
});
