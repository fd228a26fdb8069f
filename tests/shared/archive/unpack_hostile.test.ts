import { expect, test } from "bun:test";

import { paxEntry } from "./raw_tar.ts";
import type { RawEntry } from "./raw_tar.ts";
import { refused } from "./unpack_both.ts";

const HOSTILE: Readonly<Record<string, { entries: RawEntry[]; entry: string; says: string }>> = {
  "a parent part": {
    entries: [{ name: "a/../../evil" }],
    entry: "a/../../evil",
    says: 'it has a ".." part',
  },
  "a parent part in pax": {
    entries: [paxEntry({ path: "../evil" }), { name: "good" }],
    entry: "../evil",
    says: 'it has a ".." part',
  },
  "a parent part in a GNU long name": {
    entries: [{ name: "././@LongLink", type: "L", data: "../evil\0" }, { name: "good" }],
    entry: "../evil",
    says: 'it has a ".." part',
  },
  "an absolute path": {
    entries: [{ name: "/tmp/evil" }],
    entry: "/tmp/evil",
    says: "it is absolute",
  },
  "an absolute path by its prefix": {
    entries: [{ name: "evil", prefix: "/tmp" }],
    entry: "/tmp/evil",
    says: "it is absolute",
  },
  "a NUL in a pax path": {
    entries: [paxEntry({ path: "a\0b" }), { name: "good" }],
    entry: "a\0b",
    says: "NUL",
  },
  "an absolute link": {
    entries: [{ name: "l", type: "2", link: "/etc" }],
    entry: "l",
    says: "absolute path",
  },
  "a link out of the tree": {
    entries: [{ name: "d/l", type: "2", link: "../../x" }],
    entry: "d/l",
    says: "leaves the tree",
  },
  "a link out by way of another": {
    entries: [
      { name: "d/e", type: "5" },
      { name: "up", type: "2", link: "d/e/../.." },
      { name: "d/out", type: "2", link: "../up/.." },
    ],
    entry: "d/out",
    says: "leaves the tree",
  },
  "a chain of links, each of which stays inside by its text": {
    entries: [
      { name: "a/b/c", type: "5" },
      { name: "x", type: "2", link: "a/b" },
      { name: "a/b/y", type: "2", link: "../../x/../../.." },
    ],
    entry: "a/b/y",
    says: "leaves the tree",
  },
  "a circle of links": {
    entries: [{ name: "a", type: "2", link: "b" }, { name: "b", type: "2", link: "a" }],
    entry: "a",
    says: "circle",
  },
  "a file below a link": {
    entries: [{ name: "d", type: "5" }, { name: "l", type: "2", link: "d" }, { name: "l/f" }],
    entry: "l/f",
    says: '"l" is a symbolic link, not a directory',
  },
  "a link in place of a directory with a file": {
    entries: [{ name: "d/f" }, { name: "d", type: "2", link: "e" }],
    entry: "d",
    says: "a directory of that name is not empty",
  },
  "a link in place of a directory with a link": {
    entries: [{ name: "d/l", type: "2", link: "e" }, { name: "d", type: "2", link: "e" }],
    entry: "d/l",
    says: "its directory was replaced",
  },
  "a file below a link that took the place of a directory": {
    entries: [{ name: "d", type: "5" }, { name: "d", type: "2", link: "e" }, { name: "d/f" }],
    entry: "d/f",
    says: '"d" is a symbolic link, not a directory',
  },
  "a file below a file": {
    entries: [{ name: "f" }, { name: "f/g" }],
    entry: "f",
    says: "EEXIST",
  },
  "a hard link to outside": {
    entries: [{ name: "h", type: "1", link: "../../etc/passwd" }],
    entry: "h",
    says: 'of its target "../../etc/passwd", it has a ".." part',
  },
  "an absolute hard link": {
    entries: [{ name: "h", type: "1", link: "/etc/passwd" }],
    entry: "h",
    says: "absolute",
  },
  "a hard link to a symbolic link": {
    entries: [{ name: "f" }, { name: "l", type: "2", link: "f" }, {
      name: "h",
      type: "1",
      link: "l",
    }],
    entry: "h",
    says: "is a symbolic link",
  },
  "a hard link to nothing": {
    entries: [{ name: "h", type: "1", link: "no" }],
    entry: "h",
    says: "does not come before it",
  },
  "a hard link to itself alone": {
    entries: [{ name: "h", type: "1", link: "h" }],
    entry: "h",
    says: "does not come before it",
  },
  "a hard link to a directory": {
    entries: [{ name: "d", type: "5" }, { name: "h", type: "1", link: "d" }],
    entry: "h",
    says: "is a directory",
  },
  "a parent part in a pax link path": {
    entries: [paxEntry({ linkpath: "../evil" }), { name: "h", type: "1", link: "first" }],
    entry: "h",
    says: 'of its target "../evil", it has a ".." part',
  },
  "a parent part in a GNU long link": {
    entries: [
      { name: "././@LongLink", type: "K", data: "a/../../evil\0" },
      { name: "h", type: "1", link: "first" },
    ],
    entry: "h",
    says: 'of its target "a/../../evil", it has a ".." part',
  },
  "a hard link to a file behind a symbolic link": {
    entries: [
      { name: "d/f" },
      { name: "l", type: "2", link: "d" },
      { name: "h", type: "1", link: "l/f" },
    ],
    entry: "h",
    says: "does not come before it",
  },
  "a hard link below a symbolic link": {
    entries: [{ name: "l", type: "2", link: "." }, { name: "l/h", type: "1", link: "first" }],
    entry: "l/h",
    says: '"l" is a symbolic link, not a directory',
  },
  "a symbolic link below a symbolic link": {
    entries: [{ name: "l", type: "2", link: "." }, { name: "l/m", type: "2", link: "first" }],
    entry: "l/m",
    says: '"l" is a symbolic link, not a directory',
  },
  "a symbolic link to a name with a NUL": {
    entries: [paxEntry({ linkpath: "a\0b" }), { name: "l", type: "2" }],
    entry: "l",
    says: "its target has a NUL",
  },
  "a symbolic link to a name that is too long": {
    entries: [paxEntry({ linkpath: "x".repeat(5_000) }), { name: "l", type: "2" }],
    entry: "l",
    says: "its target is longer than 4095 bytes",
  },
  "a negative size": {
    entries: [{ name: "f", size: new Uint8Array(12).fill(0xff) }],
    entry: "first",
    says: 'Cannot read the size of an entry as a tar number: "-1"',
  },
  "a negative size in pax": {
    entries: [paxEntry({ size: "-512" }), { name: "f" }],
    entry: "first",
    says: 'Cannot read the size of an entry as a tar number: "-512"',
  },
  "a size beyond all numbers": {
    entries: [{ name: "f", size: new Uint8Array(12).fill(0x7f).fill(0xbf, 0, 1) }],
    entry: "first",
    says: "a number beyond 2^53",
  },
  "a character device": { entries: [{ name: "dev", type: "3" }], entry: "dev", says: "device" },
  "a block device": { entries: [{ name: "dev", type: "4" }], entry: "dev", says: "device" },
  "a pipe": { entries: [{ name: "p", type: "6" }], entry: "p", says: "a pipe" },
  "a pax sparse file without a map": {
    entries: [paxEntry({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0" }), { name: "s" }],
    entry: "first",
    says: "Cannot read a sparse map",
  },
  "a sparse file whose pieces overlap": {
    entries: [
      paxEntry({ "GNU.sparse.size": "9", "GNU.sparse.map": "0,2,1,1" }),
      { name: "s", data: "abc" },
    ],
    entry: "s",
    says: "overlap or are out of order",
  },
  "a sparse file whose pieces go beyond its end": {
    entries: [
      paxEntry({ "GNU.sparse.size": "3", "GNU.sparse.map": "1,3" }),
      { name: "s", data: "abc" },
    ],
    entry: "s",
    says: "beyond its end",
  },
  "a sparse file with other data than its map says": {
    entries: [
      paxEntry({ "GNU.sparse.size": "9", "GNU.sparse.map": "1,4" }),
      { name: "s", data: "abc" },
    ],
    entry: "s",
    says: "its pieces are 4 bytes, its data 3",
  },
  "a sparse file larger than all the disk": {
    entries: [
      paxEntry({ "GNU.sparse.size": "9007199254740000", "GNU.sparse.map": "0,3" }),
      { name: "s", data: "abc" },
    ],
    entry: "first",
    says: "it holds more than 274877906944 bytes",
  },
  "a file named as the root": { entries: [{ name: "./." }], entry: "./.", says: "the root" },
  "an empty name": { entries: [{ name: "\0" }], entry: "", says: "it is empty" },
  "a part longer than a name may be": {
    entries: [paxEntry({ path: "é".repeat(128) }), {}],
    entry: "é".repeat(128),
    says: "longer than 255 bytes",
  },
  "a path that is too deep": {
    entries: [paxEntry({ path: "d/".repeat(128) + "f" }), {}],
    entry: "d/".repeat(128) + "f",
    says: "deeper than 128 parts",
  },
  "a path that is too long": {
    entries: [paxEntry({ path: `${"d".repeat(200)}/`.repeat(21) + "f" }), {}],
    entry: `${"d".repeat(200)}/`.repeat(21) + "f",
    says: "longer than 4095 bytes",
  },
};

for (const [name, { entries, entry, says }] of Object.entries(HOSTILE)) {
  test(`unpackTree() refuses ${name}, names the entry and leaves nothing`, async () => {
    const error = await refused([{ name: "first", data: "1" }, ...entries, { name: "last" }]);
    expect(error.message).toContain(says);
    expect(error.entry).toBe(entry);
  });
}
