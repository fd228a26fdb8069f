import { expect, test } from "bun:test";

import { readPrefixRecords } from "../../../shared/archive/prefix_records.ts";

const HEAD = "#!/usr/bin/env python\nimport os\n\n_prefix_records = [\n";
const TAIL = "\n]\n\nif __name__ == '__main__':\n    main()\n";

function read(list: string) {
  return readPrefixRecords(HEAD + list + TAIL).records;
}

test("readPrefixRecords() reads what conda-pack writes", () => {
  expect(read("('bin/x', '/opt/p_placehold', 'text'),\n('lib/y.so', '/opt/p', 'binary')")).toEqual([
    { path: "bin/x", placeholder: "/opt/p_placehold", mode: "text" },
    { path: "lib/y.so", placeholder: "/opt/p", mode: "binary" },
  ]);
  expect(read("")).toEqual([]);
  expect(read("('a', '/p', 'text'),\n# more\n('b', '/p', 'text',),").length).toBe(2);
});

test("readPrefixRecords() reads strings as Python does", () => {
  const path = (literal: string) => read(`(${literal}, '/p', 'text')`)[0]?.path;
  expect(path(`"it's"`)).toBe("it's");
  expect(path(`'a\\'b"'`)).toBe(`a'b"`);
  expect(path("'a' \"b\"\n  'c'")).toBe("abc");
  expect(path("'ab\\\nc'")).toBe("abc");
  expect(path(String.raw`'\x41\u00e9\U0001f600\101\\'`)).toBe("Aé😀A\\");
  expect(path("'größe/ü'")).toBe("größe/ü");
});

test("readPrefixRecords() leaves a program that has nothing more to do", () => {
  const { emptied } = readPrefixRecords(`${HEAD}('a', '/p', 'text')${TAIL}`);
  expect(emptied).toContain("_prefix_records = []\n\nif __name__");
  expect(readPrefixRecords(emptied).records).toEqual([]);
});

test.each([
  ["('a', '/p')", '")\\n]'],
  ["('a', '/p', 'text', 'more')", "'more'"],
  ["('a', '/p', mode)", "a string is expected"],
  ["('a', '/p', 'text'", '")" is expected'],
  ["('a' + 'b', '/p', 'text')", '"," is expected'],
  ["(b'a', '/p', 'text')", "a string is expected"],
  ["(f'a', '/p', 'text')", "a string is expected"],
  ["('''a''', '/p', 'text')", "triple quotes"],
  ["('a\n', '/p', 'text')", "the end of a string"],
  ["('a\\q', '/p', 'text')", "an escape of Python"],
  ["('\\x4', '/p', 'text')", "hex digits"],
  ["('\\U00110000', '/p', 'text')", "hex digits"],
  ["*others", '"(" is expected'],
])("readPrefixRecords() refuses %s", (list, found) => {
  expect(() => read(list)).toThrow(found);
});

test.each([
  ["../x", "/p", "text", 'a ".." part'],
  ["a/../../x", "/p", "text", 'a ".." part'],
  ["/etc/passwd", "/p", "text", "it is absolute"],
  ["", "/p", "text", "it is empty"],
  ["a\\x00b", "/p", "text", "a NUL"],
  ["\\udcff", "/p", "text", "not UTF-8"],
  ["a", "", "text", "it is empty"],
  ["a", "p", "text", "it is not absolute"],
  ["a", "/", "binary", "the root of all paths"],
  ["a", "//", "binary", "the root of all paths"],
  ["a", "/\\x00", "binary", "a NUL"],
  ["a", "/\\ud800", "binary", "not UTF-8"],
  ["a", "/p", "elf", 'not "text" or "binary"'],
])("readPrefixRecords() refuses the path %s with %s as %s", (path, placeholder, mode, found) => {
  expect(() => read(`('${path}', '${placeholder}', '${mode}')`)).toThrow(found);
});

test("readPrefixRecords() refuses a program without records, and what ends too soon", () => {
  expect(() => readPrefixRecords("import os\n  _prefix_records = [\n]")).toThrow("no line begins");
  expect(() => readPrefixRecords("_prefix_records = [")).toThrow("the end of the file");
  expect(() => readPrefixRecords("_prefix_records = [# a comment")).toThrow("the end of the file");
});

test("readPrefixRecords() bounds how long and how many they are", () => {
  expect(() => read(`('${"a/".repeat(3000)}', '/p', 'text')`)).toThrow("a shorter string");
  const prefix = `/${"é".repeat(2100)}`;
  expect(() => read(`('a', '${prefix}', 'text')`)).toThrow("longer than 4095 bytes");
  const many = "_prefix_records = [" + "('a','/p','text'),".repeat(500_001) + "]";
  expect(() => readPrefixRecords(many)).toThrow("more than 500000");
});
