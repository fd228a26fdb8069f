import { expect, test } from "bun:test";
import { linkSync, lstatSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";

import { rewritePrefixes } from "../../../shared/archive/prefix_rewriter.ts";
import { newRandom, nextRandomBelow } from "../../../shared/random.ts";
import { scratch } from "./scratch.ts";

const OLD = `/opt/build/env${"_placehold".repeat(24)}`;
const NEW = "/tmp/tendril/cache/files/mini-1";
const WINDOW = 1024 * 1024;

interface Case {
  readonly old?: readonly string[];
  readonly prefix?: string;
  readonly mode?: "text" | "binary";
  readonly isWholePath?: boolean;
}

/** Rewrites a file with those contents, one character a byte, and returns its contents then. */
async function rewritten(contents: string, options: Case = {}): Promise<string> {
  const { old = [OLD], prefix = NEW, mode = "text", isWholePath = false } = options;
  await using dir = await scratch();
  const path = `${dir.path}/file`;
  writeFileSync(path, Buffer.from(contents, "latin1"));
  const placeholders = old.map((each) => Buffer.from(each));
  const rewrite = { placeholders, prefix: Buffer.from(prefix), mode, isWholePath };
  const isChanged = rewritePrefixes(path, rewrite, { leftBytes: Infinity, bytesMax: Infinity });
  const found = readFileSync(path, "latin1");
  expect(isChanged).toBe(found !== contents);
  expect(readdirSync(dir.path)).toEqual(["file"]);
  return found;
}

/** As `binary_replace` of conda-pack. */
function condaBinary(contents: string, old: string, prefix: string): string {
  const string = new RegExp(`${old}([^\\0]*?)\\0`, "g");
  return contents.replace(string, (match) => {
    const parts = match.split(old);
    return parts.join(prefix) + "\0".repeat((old.length - prefix.length) * (parts.length - 1));
  });
}

test("rewritePrefixes() replaces every occurrence in a text, shorter and longer", async () => {
  const text = `a ${OLD}/b:${OLD}\nend ${OLD}`;
  expect(await rewritten(text)).toBe(text.replaceAll(OLD, NEW));
  expect(await rewritten("x /v y/v/v", { old: ["/v"] })).toBe(`x ${NEW} y${NEW}${NEW}`);
  expect(await rewritten("nothing")).toBe("nothing");
  expect(await rewritten("")).toBe("");
});

test("rewritePrefixes() replaces in the strings of a binary file, and keeps its length", async () => {
  const binary = `\x7fELF\0-L${OLD}/lib:${OLD}/lib64\0next\0\0${OLD}\0${OLD} has no end`;
  const found = await rewritten(binary, { mode: "binary" });
  expect(found).toBe(condaBinary(binary, OLD, NEW));
  expect(found.length).toBe(binary.length);
  expect(found).toContain(`\0-L${NEW}/lib:${NEW}/lib64\0\0\0`);
  expect(found.endsWith(`${OLD} has no end`)).toBe(true);
  const same = "/".padEnd(OLD.length, "n");
  expect(await rewritten(binary, { mode: "binary", prefix: same })).toBe(
    condaBinary(binary, OLD, same),
  );
});

test("rewritePrefixes() comes to the same in a large file as all at once", async () => {
  const random = newRandom(7);
  const pieces = [OLD, OLD.slice(0, 100), "\0", "x".repeat(900), `${OLD}/a\0`, "\0\0\0", "\n"];
  for (const mode of ["text", "binary"] as const) {
    let contents = "";
    while (contents.length < 2 * WINDOW) {
      const piece = pieces[nextRandomBelow(random, pieces.length)] ?? "";
      contents += piece.repeat(1 + nextRandomBelow(random, 3));
    }
    // One across the end of what is read at a time.
    contents = contents.slice(0, WINDOW - 7) + OLD + "/tail\0" + contents.slice(WINDOW);
    const wanted = mode === "text"
      ? contents.replaceAll(OLD, NEW)
      : condaBinary(contents, OLD, NEW);
    expect(await rewritten(contents, { mode }) === wanted).toBe(true);
    const short = contents.replaceAll(OLD, "/v");
    if (mode === "binary") continue;
    const grown = await rewritten(short, { old: ["/v"] });
    expect(grown === short.replaceAll("/v", NEW)).toBe(true);
  }
}, 60_000);

test("rewritePrefixes() reads a string of a binary file that is longer than its window", async () => {
  const contents = `${OLD}${"y".repeat(WINDOW)}${OLD}${"z".repeat(WINDOW)}\0tail`;
  const found = await rewritten(contents, { mode: "binary" });
  expect(found === condaBinary(contents, OLD, NEW)).toBe(true);
});

test("rewritePrefixes() takes the longest of several prefixes, each in one pass", async () => {
  const old = ["/a", "/a/b", "/other"];
  expect(await rewritten("/a/b/c /other/a /a", { old, prefix: "/a/b/new" })).toBe(
    "/a/b/new/c /a/b/new/a/b/new /a/b/new",
  );
  const binary = "/a/b/c:/other\0keep";
  expect(await rewritten(binary, { old: ["/a/b", "/other"], prefix: "/n", mode: "binary" })).toBe(
    "/n/c:/n\0\0\0\0\0\0\0keep",
  );
});

test("rewritePrefixes() replaces whole paths only where it is told to", async () => {
  const text = "/v /v/x /v2 /home/v /v-1 a=/v: file:///v -I/v/i -L/v x-I/v '/v' /v.d";
  expect(await rewritten(text, { old: ["/v"], prefix: "/n", isWholePath: true })).toBe(
    "/n /n/x /v2 /home/v /v-1 a=/n: file:///n -I/n/i -L/n x-I/v '/n' /v.d",
  );
});

test("rewritePrefixes() gives scripts first lines that the kernel reads", async () => {
  const prefix = `/${"n".repeat(200)}`;
  const script = "#!/old/bin/python3 -E\nprint('/old')\n";
  expect(await rewritten(script, { old: ["/old"], prefix, isWholePath: true })).toBe(
    `#!/bin/sh\n'''exec' "${prefix}/bin/python3" "-E" "$0" "$@"\n' '''\nprint('${prefix}')\n`,
  );
  const large = `${script}${"# more\n".repeat(WINDOW / 4)}`;
  const found = await rewritten(large.replaceAll("/old", OLD), { prefix });
  expect(found.endsWith(`'''\nprint('${prefix}')\n${"# more\n".repeat(WINDOW / 4)}`)).toBe(true);
  expect(await rewritten(script, { old: ["/old"] })).toBe(script.replaceAll("/old", NEW));
});

test("rewritePrefixes() keeps mode, time and other names of the file", async () => {
  await using dir = await scratch();
  const [path, other] = [`${dir.path}/a`, `${dir.path}/b`];
  writeFileSync(path, `in ${OLD}`, { mode: 0o555 });
  linkSync(path, other);
  utimesSync(path, 1_700_000_000.25, 1_700_000_000.25);
  const before = lstatSync(path);
  const placeholders = [Buffer.from(OLD)];
  const rewrite = {
    placeholders,
    prefix: Buffer.from(NEW),
    mode: "text",
    isWholePath: false,
  } as const;
  const room = { leftBytes: 0, bytesMax: 0 };
  expect(rewritePrefixes(path, rewrite, room)).toBe(true);
  expect(room.leftBytes).toBe(OLD.length - NEW.length);
  const { mode, mtimeMs, ino } = lstatSync(other);
  expect([mode, Math.floor(mtimeMs), ino]).toEqual([before.mode, 1_700_000_000_250, before.ino]);
  expect(readFileSync(other, "utf8")).toBe(`in ${NEW}`);
});
