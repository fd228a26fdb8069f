import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { link, lstat, mkdir, readFile, symlink, utimes, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

import { readChunks } from "../../../shared/archive/archive_source.ts";
import { unpackTree } from "../../../shared/archive/unpack.ts";
import { inPieces, joinBytes, paxEntry, rawEntry, rawTar } from "./raw_tar.ts";
import type { RawEntry } from "./raw_tar.ts";
import { exists, listTree, mtimeMsOf, scratch } from "./scratch.ts";
import { refused, unpacked } from "./unpack_both.ts";

const T = 1_600_000_000_250;

async function makeSample(root: string): Promise<void> {
  const long = `${"long".repeat(20)}/${"name".repeat(40)}`;
  await mkdir(`${root}/${long}`, { recursive: true });
  await mkdir(`${root}/empty`);
  await mkdir(`${root}/ünï`);
  await writeFile(`${root}/run`, "#!/bin/sh\n", { mode: 0o755 });
  await writeFile(`${root}/ünï/çödé 文字 😀`, "text");
  await writeFile(`${root}/${long}/deep`, "deep");
  await writeFile(`${root}/nothing`, "");
  await writeFile(`${root}/big`, new Uint8Array(1_000_001).fill(0x62));
  await symlink("../run", `${root}/empty/link`);
  await symlink(`${long}/deep`, `${root}/far`);
  await symlink("missing", `${root}/dangling`);
  await link(`${root}/run`, `${root}/zz_same`);
  await utimes(`${root}/run`, T / 1000, T / 1000);
  await utimes(`${root}/empty`, T / 1000, T / 1000);
}

const WRITERS: Readonly<Record<string, (from: string, to: string) => void>> = {
  "GNU tar, gnu format": (from, to) => {
    execFileSync("tar", ["--format=gnu", "-cf", to, "-C", from, "."]);
  },
  "GNU tar, pax format": (from, to) => {
    execFileSync("tar", ["--format=pax", "-cf", to, "-C", from, "."]);
  },
  "GNU tar, gzip": (from, to) => {
    execFileSync("tar", ["--format=pax", "-czf", to, "-C", from, "."]);
  },
  "Python tarfile, pax format": (from, to) => python(from, to, "PAX_FORMAT", "w"),
  "Python tarfile, gnu format, gzip": (from, to) => python(from, to, "GNU_FORMAT", "w:gz"),
};

function python(from: string, to: string, format: string, mode: string): void {
  const program = "import sys,tarfile\nfrom_,to,format,mode=sys.argv[1:]\n" +
    "with tarfile.open(to,mode,format=getattr(tarfile,format)) as t: t.add(from_,'.')\n";
  execFileSync("python3", ["-c", program, from, to, format, mode]);
}

for (const [name, write] of Object.entries(WRITERS)) {
  test(`unpackTree() makes the tree that was packed by ${name}`, async () => {
    await using dir = await scratch();
    await mkdir(`${dir.path}/from`);
    await makeSample(`${dir.path}/from`);
    write(`${dir.path}/from`, `${dir.path}/archive`);
    const target = `${dir.path}/to`;
    const result = await unpackTree(readChunks(`${dir.path}/archive`), target);
    expect(await listTree(target)).toEqual(await listTree(`${dir.path}/from`));
    expect((await readFile(`${target}/big`)).equals(await readFile(`${dir.path}/from/big`)))
      .toBe(true);
    expect(result.sizeBytes).toBe(10 + 4 + 4 + 0 + 1_000_001);
    expect(result.linkCount).toBe(4);
    const wholeSeconds = name.includes("gnu format");
    const expected = wholeSeconds ? T - T % 1000 : T;
    expect(await mtimeMsOf(`${target}/run`)).toBe(expected);
    expect(await mtimeMsOf(`${target}/empty`)).toBe(expected);
    expect((await lstat(`${target}/run`)).ino).toBe((await lstat(`${target}/zz_same`)).ino);
  });
}

test("unpackTree() unpacks hard links with data, as conda-pack writes them", async () => {
  await using dir = await scratch();
  const program = `
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w:gz", format=getattr(tarfile, sys.argv[2])) as t:
    def add(name, data, type=tarfile.REGTYPE, link=""):
        i = tarfile.TarInfo(name); i.size = len(data); i.type = type; i.linkname = link
        i.mtime = 1600000000.25
        t.addfile(i, io.BytesIO(data))
    add("bin/a", b"x" * 700)
    add("bin/b", b"x" * 700, tarfile.LNKTYPE, "bin/a")
    add("last", b"end")
`;
  for (const format of ["PAX_FORMAT", "GNU_FORMAT"]) {
    const archive = `${dir.path}/${format}.tgz`;
    execFileSync("python3", ["-c", program, archive, format]);
    await unpackTree(readChunks(archive), `${dir.path}/${format}`);
    const line = ` 644 ${JSON.stringify("x".repeat(40))}`;
    expect(await listTree(`${dir.path}/${format}`))
      .toEqual(["bin/", `bin/a${line}`, `bin/b${line}`, 'last 644 "end"']);
  }
});

test("unpackTree() looks what follows a link that states a size without pax", async () => {
  const before = { name: "a", data: "A" };
  const after = { name: "c", data: "C" };
  const lines = ['a 644 "A"', 'b 644 "A"', 'c 644 "C"'];
  const link = { name: "b", type: "1", link: "a" };
  expect(await unpacked(before, { ...link, data: "A".repeat(900) }, after)).toEqual(lines);
  expect(await unpacked(before, { ...link, size: 900 }, after)).toEqual(lines);
  expect(await unpacked(before, after, { ...link, size: 900 })).toEqual(lines);
  const soft = { name: "b", type: "2", link: "a" };
  expect(await unpacked(before, { ...soft, data: "Z".repeat(512) }, after)).toEqual([
    lines[0] ?? "",
    "b -> a",
    lines[2] ?? "",
  ]);
});

test("unpackTree() takes data of a pax hard link for data, also when they are an archive", async () => {
  const inner = rawTar({ name: "smuggled", data: "x" });
  const lines = await unpacked(
    { name: "a", data: inner },
    paxEntry({ mtime: "1" }),
    { name: "b", type: "1", link: "a", data: inner },
    { name: "c", data: "C" },
  );
  expect(lines.map((line) => line.split(" ")[0])).toEqual(["a", "b", "c"]);
});

test("unpackTree() makes parents that have no entry and takes names in any order", async () => {
  expect(await unpacked({ name: "a/b/c", data: "1" }, { name: "./a//b/", type: "5" })).toEqual([
    "a/",
    "a/b/",
    'a/b/c 644 "1"',
  ]);
  expect(await unpacked({ name: "old/", type: "\0" }, { name: ".", type: "5" })).toEqual(["old/"]);
  expect(await unpacked()).toEqual([]);
});

test("unpackTree() keeps execution bits and drops setuid, setgid, sticky and others' writing", async () => {
  expect(
    await unpacked(
      { name: "a", mode: "0007777" },
      { name: "b", mode: "0000000" },
      { name: "c", mode: "0000711" },
    ),
  ).toEqual(['a 755 ""', 'b 400 ""', 'c 711 ""']);
  await using dir = await scratch();
  const bytes = rawTar({ name: "d", type: "5", mode: "0002020" }, { name: "d/f", data: "x" });
  await unpackTree(inPieces(bytes), `${dir.path}/to`);
  expect((await lstat(`${dir.path}/to/d`)).mode & 0o7777).toBe(0o500);
});

test("unpackTree() sets the time of a directory after all that is in it", async () => {
  await using dir = await scratch();
  const time = { mtime: "14524770400" };
  const bytes = rawTar(
    { name: "d", type: "5", ...time },
    { name: "d/e", type: "5", ...time },
    { name: "d/e/f", data: "x", ...time },
    { name: "d/l", type: "2", link: "e", ...time },
  );
  await unpackTree(inPieces(bytes), `${dir.path}/to`);
  for (const path of ["d", "d/e", "d/e/f"]) {
    expect(await mtimeMsOf(`${dir.path}/to/${path}`)).toBe(0o14524770400 * 1000);
  }
});

test("unpackTree() does not round a time up to the next second", async () => {
  await using dir = await scratch();
  const bytes = rawTar(paxEntry({ mtime: "1600000000.999999999999" }), { name: "f" });
  await unpackTree(inPieces(bytes), `${dir.path}/to`);
  const timeMs = await mtimeMsOf(`${dir.path}/to/f`);
  expect(timeMs).toBe(1_600_000_000_999);
});

test("unpackTree() lets a later entry of a name replace the earlier one", async () => {
  expect(await unpacked({ name: "f", data: "old" }, { name: "f", data: "new" }))
    .toEqual(['f 644 "new"']);
  const other = { name: "other", data: "o" };
  const link = { name: "x", type: "2", link: "other" };
  expect(await unpacked(other, link, { name: "x", data: "file" }))
    .toEqual(['other 644 "o"', 'x 644 "file"']);
  expect(await unpacked(other, { name: "x", data: "file" }, link))
    .toEqual(['other 644 "o"', "x -> other"]);
  // The first name's contents stay what they were under the second name.
  const hard = { name: "h", type: "1", link: "f" };
  expect(await unpacked({ name: "f", data: "1" }, hard, { name: "f", data: "2" }))
    .toEqual(['f 644 "2"', 'h 644 "1"']);
  const big = "b".repeat(200_000);
  expect(await unpacked({ name: "f", data: "1" }, hard, { name: "h", data: big }))
    .toEqual(['f 644 "1"', `h 644 ${JSON.stringify(big.slice(0, 40))}`]);
});

test("unpackTree() lets entries of any kinds replace each other, as tar does", async () => {
  const directory = { name: "x", type: "5" };
  const link = { name: "x", type: "2", link: "." };
  const file = { name: "x", data: "1" };
  expect(await unpacked(file, directory, { name: "x/f" })).toEqual(["x/", 'x/f 644 ""']);
  expect(await unpacked(link, directory, { name: "x/f" })).toEqual(["x/", 'x/f 644 ""']);
  expect(await unpacked(directory, file)).toEqual(['x 644 "1"']);
  expect(await unpacked(directory, link)).toEqual(["x -> ."]);
  expect(await unpacked(directory, file, directory, link, file)).toEqual(['x 644 "1"']);
  // Written of a file with two names that tar is told to pack twice.
  expect(await unpacked(file, { name: "x", type: "1", link: "x" })).toEqual(['x 644 "1"']);
});

test("unpackTree() passes over entries of unknown types by their size", async () => {
  expect(await unpacked({ name: "v", type: "V", data: "zzz" }, { name: "a", data: "1" }))
    .toEqual(['a 644 "1"']);
});

test("unpackTree() reads gzip of many members, in pieces of any size", async () => {
  const bytes = rawTar({ name: "a", data: "x".repeat(5_000) }, { name: "b", data: "y" });
  const members = joinBytes([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))]);
  for (
    const [archive, pieceBytes] of [[members, 1], [members, 7], [bytes, 1], [bytes, 513]] as const
  ) {
    await using dir = await scratch();
    await unpackTree(inPieces(archive, pieceBytes), `${dir.path}/to`);
    expect((await listTree(`${dir.path}/to`)).length).toBe(2);
  }
});

test("unpackTree() refuses names that are not UTF-8", async () => {
  const error = await refused([{ name: new Uint8Array([0x61, 0xff]) }]);
  expect(error.message).toContain('"aÿ" as UTF-8');
});

test("unpackTree() refuses a global header that names files", async () => {
  const error = await refused([paxEntry({ path: "everything" }, "g"), { name: "a" }]);
  expect(error.message).toContain("global pax header");
  expect(await unpacked(paxEntry({ comment: "abc" }, "g"), { name: "a" })).toEqual(['a 644 ""']);
});

test("unpackTree() holds its limits", async () => {
  const files = [{ name: "a", data: "1" }, { name: "b/c", data: "2" }, { name: "c", data: "3" }];
  expect((await refused(files, { entryCountMax: 2 })).message).toContain("more than 2 entries");
  expect((await refused(files, { bytesMax: 2_000 })).message).toContain("more than 2000 bytes");
  expect((await refused(files, { pathDepthMax: 1 })).entry).toBe("b/c");
  expect((await refused(files, { pathBytesMax: 2 })).entry).toBe("b/c");
  const bomb = gzipSync(rawTar({ name: "zeros", data: "0".repeat(5_000_000) }));
  expect((await refused(bomb, { bytesMax: 1_000_000 })).message).toContain("more than 1000000");
  const deep = await refused([{ name: "d/e/f/g" }, { name: "d/1/2/3" }], { entryCountMax: 5 });
  expect(deep.message).toContain("more than 5 directories");
  const header = [{ name: "x", type: "x", size: 2 ** 30 }];
  expect((await refused(header)).message).toContain("more than 1048576 bytes");
});

test("unpackTree() refuses archives that were cut off", async () => {
  const bytes = rawTar({ name: "a", data: "x".repeat(3_000) }, { name: "b", data: "y" });
  for (const length of [600, 1_024, 3_583, 3_584, 4_200, bytes.length - 1_024]) {
    expect((await refused(bytes.slice(0, length))).message).toContain("ends too soon");
  }
  const packed = gzipSync(bytes);
  for (const length of [12, 40, packed.length - 1]) {
    expect((await refused(packed.slice(0, length))).message).toMatch(/Cannot (read|decompress)/);
  }
  const broken = packed.slice();
  broken[broken.length - 6] = (broken[broken.length - 6] ?? 0) ^ 0xff;
  expect((await refused(broken)).message).toContain("Cannot decompress the archive as gzip");
});

test("unpackTree() names the format that it cannot read", async () => {
  const padded = (...start: number[]) => {
    const bytes = new Uint8Array(2_000).fill(0x55);
    bytes.set(start);
    return bytes;
  };
  const formats: [number[], string][] = [
    [[0x68, 0x73, 0x71, 0x73], "found squashfs"],
    [[0x00, 0x01], "found an unknown format"],
  ];
  for (const [start, says] of formats) {
    const { message } = await refused(padded(...start));
    expect(message).toContain("as tar");
    expect(message).toContain(says);
  }
  expect((await refused(new Uint8Array(0))).message).toContain("found nothing");
  expect((await refused(gzipSync("no tar"))).message).toContain("found an unknown format");
});

test("unpackTree() leaves a directory alone that was there before", async () => {
  await using dir = await scratch();
  await writeFile(`${dir.path}/mine`, "kept");
  await expect(unpackTree(inPieces(rawTar({ name: "a" })), dir.path)).rejects.toThrow(
    "as a new directory",
  );
  expect(await listTree(dir.path)).toEqual(['mine 644 "kept"']);
});

test("unpackTree() ends at an abort and at a failing source, and closes the source", async () => {
  await using dir = await scratch();
  let isClosed = false;
  async function* source(failure: () => void): AsyncGenerator<Uint8Array, void> {
    try {
      yield rawEntry({ name: "a", data: "1" });
      for (let count = 0;; count++) {
        yield rawEntry({ name: `f${count}`, data: "1" });
        await Promise.resolve();
        if (count === 50) failure();
      }
    } finally {
      isClosed = true;
    }
  }
  const controller = new AbortController();
  const abort = () => controller.abort(new Error("not wanted any more"));
  await expect(unpackTree(source(abort), `${dir.path}/to`, { signal: controller.signal }))
    .rejects.toThrow("not wanted any more");
  expect(isClosed).toBe(true);
  const fail = () => {
    throw new Error("connection lost");
  };
  await expect(unpackTree(source(fail), `${dir.path}/to`)).rejects.toThrow("connection lost");
  expect(await exists(`${dir.path}/to`)).toBe(false);
});

test("unpackTree() ends at an abort while its source stalls", async () => {
  await using dir = await scratch();
  const controller = new AbortController();
  async function* source(): AsyncGenerator<Uint8Array, void> {
    yield rawEntry({ name: "a", data: "1" });
    controller.abort(new Error("not wanted any more"));
    await new Promise(() => {});
  }
  await expect(unpackTree(source(), `${dir.path}/to`, { signal: controller.signal }))
    .rejects.toThrow("not wanted any more");
  expect(await exists(`${dir.path}/to`)).toBe(false);
});

/** Files enough to be on their way together, many that replace others, and links to all of them. */
function busyEntries(): RawEntry[] {
  const entries: RawEntry[] = [];
  for (let index = 0; index < 3_000; index++) {
    const name = `d${index % 50}/e${index % 7}/f${index}`;
    entries.push({ name, data: `${index} `.repeat(1 + index % 300), mode: "0000755" });
    if (index % 3 === 0) entries.push({ name: `links/l${index}`, type: "1", link: name });
    if (index % 9 === 0) {
      entries.push({ name: `links/m${index}`, type: "1", link: `links/l${index}` });
    }
    // The name that the link was made to is taken by another file; the link keeps the first.
    if (index % 17 === 0) entries.push({ name, data: "new" });
    if (index % 51 === 0) entries.push({ name: `links/l${index}`, data: "no link" });
    if (index % 500 === 7) entries.push({ name: `big${index}`, data: "b".repeat(140_000) });
  }
  return entries;
}

test(
  "unpackFile() and unpackTree() make one tree of links and of names that are taken again",
  async () => {
    const lines = await unpacked(...busyEntries());
    expect(lines.filter((line) => line.endsWith('"no link"')).length).toBe(59);
  },
  60_000,
);

test(
  "unpackFile() and unpackTree() name the file among thousands that cannot be written",
  async () => {
    // No name of it is too long, and no directory; with the directory it is unpacked into, the file is.
    const directory = Array.from({ length: 16 }, () => "d".repeat(249)).join("/");
    const bad = `${directory}/${"f".repeat(90)}`;
    const files = Array.from({ length: 2_000 }, (_, index) => ({ name: `f${index}`, data: "1" }));
    const entries = [...files, paxEntry({ path: bad }), { name: "bad", data: "2" }, ...files];
    const error = await refused(entries);
    expect(error.entry).toBe(bad);
    expect(error.message).toContain("ENAMETOOLONG");
  },
  60_000,
);

test("unpackTree() unpacks thousands of files with many at a time", async () => {
  await using dir = await scratch();
  const entries: RawEntry[] = [];
  for (let index = 0; index < 3_000; index++) {
    entries.push({ name: `d${index % 50}/e${index % 7}/f${index}`, data: `${index}` });
  }
  const result = await unpackTree(inPieces(rawTar(...entries)), `${dir.path}/to`);
  expect(result.fileCount).toBe(3_000);
  for (const index of [0, 1_234, 2_999]) {
    const path = `${dir.path}/to/d${index % 50}/e${index % 7}/f${index}`;
    expect(await readFile(path, "utf8")).toBe(`${index}`);
  }
}, 60_000);
