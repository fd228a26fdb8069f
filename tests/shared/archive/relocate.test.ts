import { expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";

import { ArchiveError } from "../../../shared/archive/archive_error.ts";
import { unpackEnvironment, unpackFile } from "../../../shared/archive/unpack.ts";
import type { UnpackLimits } from "../../../shared/archive/unpack.ts";
import { paxEntry, type RawEntry, rawTar } from "./raw_tar.ts";
import { listTree, mtimeMsOf, scratch } from "./scratch.ts";

const OLD = `/opt/build/env${"_placehold".repeat(24)}`;
const PACKED = "/home/packer/env";
const PLACE = "/tmp/worker/cache/files/mini-1";

/** The program that conda-pack adds, with records as Python writes them. */
function condaUnpack(...records: readonly (readonly [string, string, string])[]): RawEntry {
  const list = records.map((record) => `(${record.map((text) => `'${text}'`).join(", ")})`);
  const data = `#!/usr/bin/env python\n_prefix_records = [\n${list.join(",\n")}\n]\n`;
  return { name: "bin/conda-unpack", data, mode: "0000755" };
}

/** Unpacks the entries for use at `place`, and gives what is there to `look`. */
async function relocated<Found>(
  entries: readonly RawEntry[],
  look: (root: string) => Found | Promise<Found>,
  place: string = PLACE,
): Promise<Found> {
  await using dir = await scratch();
  writeFileSync(`${dir.path}/a.tar`, rawTar(...entries));
  await unpackEnvironment(`${dir.path}/a.tar`, `${dir.path}/to`, { place });
  return await look(`${dir.path}/to`);
}

/** Unpacks what must fail, and checks that nothing is left. */
async function refused(
  entries: readonly RawEntry[],
  place: string = PLACE,
  limits: UnpackLimits = {},
): Promise<ArchiveError> {
  await using dir = await scratch();
  writeFileSync(`${dir.path}/a.tar`, rawTar(...entries));
  const unpacking = unpackEnvironment(`${dir.path}/a.tar`, `${dir.path}/to`, { ...limits, place });
  const error: unknown = await unpacking.catch((failure: unknown) => failure);
  expect(error).toBeInstanceOf(ArchiveError);
  expect(readdirSync(dir.path)).toEqual(["a.tar"]);
  return error as ArchiveError;
}

const text = (root: string, path: string): string => readFileSync(`${root}/${path}`, "latin1");

test("unpackEnvironment() rewrites what the records name, and keeps modes and times", async () => {
  const entries = [
    { name: "etc/x.cfg", data: `root=${OLD}/etc:${OLD}\n`, mode: "0000444" },
    { name: "lib/y.so", data: `\x7fELF\0${OLD}/lib\0end`, mode: "0000555" },
    { name: "lib/other", data: `${OLD}` },
    condaUnpack(["etc/x.cfg", OLD, "text"], ["lib/y.so", OLD, "binary"]),
  ];
  await relocated(entries, async (root) => {
    expect(text(root, "etc/x.cfg")).toBe(`root=${PLACE}/etc:${PLACE}\n`);
    const padding = "\0".repeat(OLD.length - PLACE.length);
    expect(text(root, "lib/y.so")).toBe(`\x7fELF\0${PLACE}/lib${padding}\0end`);
    expect(text(root, "lib/other")).toBe(OLD);
    // What conda-unpack has done, it has done.
    expect(text(root, "bin/conda-unpack")).toBe("#!/usr/bin/env python\n_prefix_records = []\n");
    for (const path of ["etc/x.cfg", "lib/y.so", "bin/conda-unpack"]) {
      expect(await mtimeMsOf(`${root}/${path}`)).toBe(0o14524770400 * 1000);
    }
    expect(lstatSync(`${root}/etc/x.cfg`).mode & 0o777).toBe(0o444);
    expect(lstatSync(`${root}/lib/y.so`).mode & 0o777).toBe(0o555);
  });
});

test("unpackEnvironment() rewrites a file with several names once", async () => {
  // Twice would find the old prefix in the new one.
  const [old, place] = ["/p", "/p/q"];
  const entries = [
    { name: "a", data: `${old}/x` },
    { name: "b", type: "1", link: "a" },
    condaUnpack(["a", old, "text"], ["b", old, "text"], ["a", old, "text"]),
  ];
  await relocated(entries, (root) => {
    expect([text(root, "a"), text(root, "b")]).toEqual(["/p/q/x", "/p/q/x"]);
    expect(lstatSync(`${root}/a`).ino).toBe(lstatSync(`${root}/b`).ino);
  }, place);
  await relocated(
    [
      { name: "a", data: `${old}:${OLD}` },
      condaUnpack(["a", old, "text"], ["a", OLD, "text"]),
    ],
    (root) => expect(text(root, "a")).toBe("/p/q:/p/q"),
    place,
  );
});

test("unpackEnvironment() rewrites the scripts beside the interpreter and absolute links", async () => {
  const entries = [
    { name: "bin/python3.11-config", data: `#!/bin/sh\nprefix="${OLD}"\n`, mode: "0000755" },
    { name: "bin/python3.11", data: `\x7fELF\0${OLD}\0`, mode: "0000755" },
    { name: "bin/tool", data: `# ${PACKED}\n` },
    { name: "lib/in", type: "2", link: `${PACKED}/share/x` },
    { name: "lib/out", type: "2", link: "/usr/lib/x" },
    { name: "lib/other", type: "2", link: `${PACKED}2/x` },
    { name: "lib/root", type: "2", link: PACKED },
    condaUnpack(["bin/tool", PACKED, "text"], ["lib/z", OLD, "text"]),
    { name: "lib/z", data: OLD },
  ];
  await relocated(entries, (root) => {
    expect(text(root, "bin/python3.11-config")).toBe(`#!/bin/sh\nprefix="${PLACE}"\n`);
    expect(text(root, "bin/python3.11")).toContain(OLD);
    expect(["in", "out", "other", "root"].map((name) => readlinkSync(`${root}/lib/${name}`)))
      .toEqual([`${PLACE}/share/x`, "/usr/lib/x", `${PACKED}2/x`, PLACE]);
  });
});

test("unpackEnvironment() removes what was compiled of a source that it rewrites", async () => {
  const entries = [
    ["lib/a.py", OLD],
    ["lib/ab.py", "x = 1"],
    ["lib/__pycache__/a.cpython-311.pyc", "compiled"],
    ["lib/__pycache__/ab.cpython-311.pyc", "compiled"],
  ].map(([name, data]) => ({ name: name!, data: data! }));
  await relocated([...entries, condaUnpack(["lib/a.py", OLD, "text"])], (root) => {
    expect(readdirSync(`${root}/lib/__pycache__`)).toEqual(["ab.cpython-311.pyc"]);
  });
});

const VENV: readonly RawEntry[] = [
  {
    name: "pyvenv.cfg",
    data: `home = /usr/bin\ncommand = /usr/bin/python3 -m venv --without-pip ${PACKED}\n`,
  },
  { name: "bin/activate", data: `VIRTUAL_ENV="${PACKED}"\nexport VIRTUAL_ENV\n` },
  { name: "bin/activate.csh", data: `setenv VIRTUAL_ENV "${PACKED}"\n` },
  { name: "bin/tool", data: `#!${PACKED}/bin/python3\n# ${PACKED}2\n`, mode: "0000755" },
  { name: "bin/compiled", data: `\0${PACKED}` },
  { name: "bin/python3", type: "2", link: "/usr/bin/python3" },
  { name: "bin/python", type: "2", link: "python3" },
  { name: "lib64", type: "2", link: "lib" },
  { name: "lib/python3.11/site-packages/x.pth", data: `${PACKED}/src\n/elsewhere\n` },
  { name: "lib/python3.11/site-packages/x.py", data: `"${PACKED}"` },
  { name: "share/jupyter/kernels/python3/kernel.json", data: `["${PACKED}/bin/python"]` },
];

function checkVenv(root: string, place: string): void {
  expect(text(root, "pyvenv.cfg")).toBe(
    `home = /usr/bin\ncommand = /usr/bin/python3 -m venv --without-pip ${place}\n`,
  );
  expect(text(root, "bin/activate")).toBe(`VIRTUAL_ENV="${place}"\nexport VIRTUAL_ENV\n`);
  expect(text(root, "bin/activate.csh")).toBe(`setenv VIRTUAL_ENV "${place}"\n`);
  expect(text(root, "bin/tool")).toBe(`#!${place}/bin/python3\n# ${PACKED}2\n`);
  expect(text(root, "bin/compiled")).toBe(`\0${PACKED}`);
  expect(readlinkSync(`${root}/bin/python3`)).toBe("/usr/bin/python3");
  const site = "lib/python3.11/site-packages";
  expect(text(root, `${site}/x.pth`)).toBe(`${place}/src\n/elsewhere\n`);
  expect(text(root, `${site}/x.py`)).toBe(`"${PACKED}"`);
  expect(text(root, "share/jupyter/kernels/python3/kernel.json")).toBe(
    `["${place}/bin/python"]`,
  );
}

test("unpackEnvironment() rewrites the scripts and settings of a virtual environment", async () => {
  await relocated(VENV, (root) => checkVenv(root, PLACE));
});

test("unpackEnvironment() finds a virtual environment in the only directory of an archive", async () => {
  const below = VENV.map((entry) => ({ ...entry, name: `venv/${entry.name}` }));
  await relocated(below, (root) => checkVenv(`${root}/venv`, `${PLACE}/venv`), PLACE);
});

test("unpackEnvironment() leaves what says nothing of its place", async () => {
  const lines = ['bin/tool 644 "/p"', 'lib/x 644 "/p"'];
  await relocated(
    [{ name: "bin/tool", data: "/p" }, { name: "lib/x", data: "/p" }],
    async (root) =>
      expect((await listTree(root)).filter((line) => !line.endsWith("/"))).toEqual(lines),
  );
});

test("unpackEnvironment() refuses relative links that leave the tree, and circles", async () => {
  const link = (target: string) => [{ name: "bin/l", type: "2", link: target }];
  expect((await refused(link("../../etc"))).message).toContain("leaves the tree");
  expect((await refused(link("l"))).message).toContain("in a circle");
  expect((await refused([...link("/etc"), { name: "bin/l/passwd", data: "x" }])).message)
    .toContain("is a symbolic link, not a directory");
  // Other archives have no business with absolute paths.
  await using dir = await scratch();
  writeFileSync(`${dir.path}/a.tar`, rawTar(...link("/etc")));
  await expect(unpackFile(`${dir.path}/a.tar`, `${dir.path}/to`)).rejects.toThrow("absolute path");
});

test("unpackEnvironment() writes through no link, whatever it leads to", async () => {
  await using dir = await scratch();
  mkdirSync(`${dir.path}/victim`);
  writeFileSync(`${dir.path}/victim/file`, `${OLD}`, { mode: 0o640 });
  const before = lstatSync(`${dir.path}/victim/file`);
  const entries = [
    { name: "bin/", type: "5" },
    { name: "lib", type: "2", link: `${dir.path}/victim` },
    { name: "bin/file", type: "2", link: `${dir.path}/victim/file` },
    condaUnpack(),
  ];
  await relocated(entries, () => {
    expect(readFileSync(`${dir.path}/victim/file`, "utf8")).toBe(OLD);
    const { mode, mtimeMs } = lstatSync(`${dir.path}/victim/file`);
    expect([mode, mtimeMs]).toEqual([before.mode, before.mtimeMs]);
  });
  const named = [...entries.slice(0, 3), condaUnpack(["bin/file", OLD, "text"])];
  expect((await refused(named)).entry).toBe("bin/file");
  const below = [...entries.slice(0, 3), condaUnpack(["lib/file", OLD, "text"])];
  expect((await refused(below)).entry).toBe("lib/file");
  expect(readFileSync(`${dir.path}/victim/file`, "utf8")).toBe(OLD);
});

test.each(
  [
    ["a missing file", ["none", OLD, "text"], "not one of the archive's files"],
    ["a directory", ["d", OLD, "text"], "not one of the archive's files"],
    ["a link", ["l", OLD, "text"], "not one of the archive's files"],
    ["what is above the tree", ["../x", OLD, "text"], 'a ".." part'],
    ["no prefix", ["f", "", "text"], "it is empty"],
    ["the root", ["f", "/", "text"], "the root of all paths"],
    ["no absolute prefix", ["f", "x", "text"], "not absolute"],
    ["too little room", ["f", "/short", "binary"], "it has room for 6 bytes"],
  ] as const,
)("unpackEnvironment() refuses records that name %s", async (_what, record, found) => {
  const error = await refused([
    { name: "f", data: OLD },
    { name: "d/", type: "5" },
    { name: "l", type: "2", link: "f" },
    condaUnpack(["f", OLD, "text"], record),
  ]);
  expect(error.message).toContain(found);
  expect(["bin/conda-unpack", record[0]]).toContain(error.entry!);
});

test("unpackEnvironment() refuses records that contradict one another", async () => {
  const both = condaUnpack(["f", OLD, "text"], ["f", OLD, "binary"]);
  expect((await refused([{ name: "f", data: OLD }, both])).message).toContain("text and binary");
});

test("unpackEnvironment() refuses a place that programs have no room for, before it unpacks", async () => {
  const place = "/".padEnd(256, "p");
  await using dir = await scratch();
  // It is not even there.
  await expect(unpackEnvironment(`${dir.path}/a.tar`, `${dir.path}/to`, { place })).rejects.toThrow(
    "its path has 256 bytes, and programs have room for 255",
  );
  await relocated([{ name: "bin/x", data: "" }], () => {}, place.slice(1).padStart(255, "/"));
  const below = [{ name: "env/bin/x", data: "" }];
  expect((await refused(below, place.slice(0, 255))).message).toContain("259 bytes");
});

test("unpackEnvironment() does not read records of any size", async () => {
  const sparse = [
    paxEntry({
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": "bin/conda-unpack",
      "GNU.sparse.realsize": String(1024 ** 3),
    }),
    { name: "GNUSparseFile.0/conda-unpack", data: sparseData() },
  ];
  const error = await refused(sparse);
  expect(error.message).toContain("1073741824 bytes, more than 67108864");
});

/** The map of a file of 1 GiB with one byte at its end, and that byte. */
function sparseData(): Uint8Array {
  const data = new Uint8Array(513);
  data.set(new TextEncoder().encode("1\n1073741823\n1\n"));
  return data;
}

test("unpackEnvironment() counts what files grow by, and holds its limits", async () => {
  const entries = [
    { name: "a", data: "x /v y" },
    { name: "share/bomb", data: "/v".repeat(100_000) },
    condaUnpack(["a", "/v", "text"], ["share/bomb", "/v", "text"]),
  ];
  const error = await refused(entries, PLACE, { bytesMax: 1_000_000 });
  expect(error.entry).toBe("share/bomb");
  expect(error.isTooLarge).toBe(true);
  expect(error.message).toContain("it holds more than 1000000 bytes");
  await using dir = await scratch();
  const record = condaUnpack(["a", "/v", "text"]);
  writeFileSync(`${dir.path}/a.tar`, rawTar({ name: "a", data: "x /v y" }, record));
  const result = await unpackEnvironment(`${dir.path}/a.tar`, `${dir.path}/to`, { place: PLACE });
  const sizes = ["a", "bin/conda-unpack"].map((path) => lstatSync(`${dir.path}/to/${path}`).size);
  expect(sizes[0]).toBe("x  y".length + PLACE.length);
  expect(result.sizeBytes).toBe(sizes[0]! + Buffer.byteLength(String(record.data)));
});
