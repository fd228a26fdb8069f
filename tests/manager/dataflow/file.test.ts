import { expect, test } from "bun:test";
import process from "node:process";

import { join } from "@std/path";

import { File, zipPlaceOf } from "../../../manager/dataflow/file.ts";

test("File takes paths and urls", () => {
  const path = new File("data/reads.fq");
  expect([path.scheme, path.path, path.name]).toEqual([
    "file",
    join(process.cwd(), "data/reads.fq"),
    "reads.fq",
  ]);
  expect(new File("file:///a%20b/c.txt").path).toBe("/a b/c.txt");
  const web = new File("HTTPS://ann:secret@example.org/a%20b/genome.fa.gz?part=1");
  expect([web.scheme, web.path, web.name]).toEqual(["https", "/a b/genome.fa.gz", "genome.fa.gz"]);
  expect(new File(new URL("ftp://example.org/pub/a.txt")).scheme).toBe("ftp");
  expect(new File("shelf:/novels/1").scheme).toBe("shelf");
});

test("File takes members of archives, relative to the working directory as well", () => {
  const member = new File("zip:/data/all.zip/in/a b.txt");
  expect([member.path, member.name]).toEqual(["/data/all.zip/in/a b.txt", "a b.txt"]);
  expect(zipPlaceOf(member)).toEqual({ archive: "/data/all.zip", member: "in/a b.txt" });
  const relative = new File("zip:all.zip/a");
  expect(zipPlaceOf(relative).archive).toBe(join(process.cwd(), "all.zip"));
  expect(new File(relative.url).path).toBe(relative.path);
});

test("File refuses what is neither path nor url, and shows no password", () => {
  const refused = (place: unknown): string => {
    try {
      return new File(place as string).url;
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(refused("")).toBe('Cannot take "" as a file: expected a path or a url');
  expect(refused(7)).toBe('Cannot take "7" as a file: expected a path or a url');
  expect(refused("http://ann:secret@[/a")).toBe('Cannot take "http://[/a" as a file: it is no url');
  expect(refused("zip:/data/all.zip")).toBe(
    'Cannot take "zip:/data/all.zip" as a file: expected zip:/path/archive.zip/inner/path',
  );
  expect(refused("zip:/data/all.zip/..%2F..%2Fa")).toContain("expected zip:/path/archive.zip/");
  expect(() => new File("a", { staging: "outside" as "task" })).toThrow("staging");
});
