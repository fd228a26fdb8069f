/**
 * What other programs pack and unpack, beside what we make of it: one nasty tree, compared entry by
 * entry in type, mode, time, link and contents.
 */

import { expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";

import { readChunks } from "../../../shared/archive/archive_source.ts";
import { unpackFile, unpackTree } from "../../../shared/archive/unpack.ts";
import { describeTree, type KeptTimes } from "./describe_tree.ts";
import { scratch } from "./scratch.ts";

/** The mask under which trees are unpacked: what is ours drops writing by others anyway. */
process.umask(0o022);

function has(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}

/** What a file system can hold and programs trip over; `isPlain` is what a zip file can hold. */
function makeNasty(root: string, isPlain: boolean): void {
  const long = `${"directory".repeat(12)}/${"another".repeat(20)}`;
  for (const path of ["empty", "ünï/文字", "locked/inner", long]) {
    mkdirSync(`${root}/${path}`, { recursive: true });
  }
  writeFileSync(`${root}/run`, "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(`${root}/read only`, "r", { mode: 0o444 });
  writeFileSync(`${root}/private`, "p", { mode: 0o600 });
  writeFileSync(`${root}/nothing`, "");
  writeFileSync(`${root}/ünï/文字/çödé 😀.txt`, "unicode");
  writeFileSync(`${root}/${long}/${"file".repeat(30)}`, "long");
  writeFileSync(`${root}/locked/inner/file`, "inner");
  writeFileSync(`${root}/-dash "quotes" \\back`, "odd");
  writeFileSync(`${root}/block`, new Uint8Array(512).fill(0x41));
  writeFileSync(`${root}/large`, new Uint8Array(700_003).map((_, index) => index * index));
  symlinkSync("../run", `${root}/empty/link`);
  symlinkSync(`${long}/${"file".repeat(30)}`, `${root}/long link`);
  symlinkSync("ünï", `${root}/directory link`);
  symlinkSync("missing", `${root}/dangling`);
  if (!isPlain) {
    writeFileSync(`${root}/new\nline`, "odd");
    linkSync(`${root}/run`, `${root}/zz same`);
    linkSync(`${root}/large`, `${root}/empty/same`);
    makeSparse(`${root}/sparse`, [[0, "start"], [900_000, "middle".repeat(400_000)], [
      9_000_000,
      "end",
    ]]);
    makeSparse(`${root}/sparse many`, Array.from({ length: 60 }, (_, i) => [i * 50_000, `${i}`]));
    makeSparse(`${root}/sparse hole`, []);
    truncateSync(`${root}/sparse hole`, 2_000_000);
  }
  chmodSync(`${root}/locked/inner`, 0o555);
  chmodSync(`${root}/locked`, 0o500);
  const paths = readdirSync(root, { recursive: true }) as string[];
  // Of a fraction that no program rounds, whatever it keeps times in.
  for (const [index, path] of paths.entries()) {
    const seconds = 1_500_000_000 + 2 * index + (isPlain ? 0 : 0.25);
    lutimesSync(`${root}/${path}`, seconds, seconds);
  }
}

function makeSparse(path: string, pieces: readonly (readonly [number, string])[]): void {
  const file = openSync(path, "w");
  for (const [at, text] of pieces) writeSync(file, text, at);
  closeSync(file);
}

interface Tool extends KeptTimes {
  readonly needs: string;
  readonly pack: (from: string, archive: string) => void;
  readonly unpack: (archive: string, to: string) => void;
  /** It packs no hard links. */
  readonly isPlain?: boolean;
}

function run(cwd: string, program: string, ...args: string[]): void {
  // Without a locale they take names for ASCII.
  const env = { ...process.env, LC_ALL: "C.UTF-8" };
  execFileSync(program, args, { cwd, env, stdio: ["ignore", "ignore", "pipe"] });
}

const gnuTar = (timeMs: number, ...options: string[]): Tool => ({
  needs: "tar",
  pack: (from, archive) => run(from, "tar", ...options, "-cf", archive, "."),
  unpack: (archive, to) =>
    run(to, "tar", "--no-same-permissions", "--no-same-owner", "-xf", archive),
  timeMs,
});

const bsdTar = (timeMs: number, ...options: string[]): Tool => ({
  needs: "bsdtar",
  pack: (from, archive) => run(from, "bsdtar", "-cf", archive, ...options, "."),
  unpack: (archive, to) =>
    run(to, "bsdtar", "--no-same-permissions", "--no-same-owner", "-xf", archive),
  timeMs,
});

const PYTHON_TAR = `
import os, sys, tarfile
os.umask(0o022)
if sys.argv[1] == "pack":
    with tarfile.open(sys.argv[2], "w", format=getattr(tarfile, sys.argv[4])) as t: t.add(sys.argv[3], ".")
else:
    with tarfile.open(sys.argv[2]) as t: t.extractall(sys.argv[3])
`;
const pythonTar = (timeMs: number, format: string): Tool => ({
  needs: "python3",
  pack: (from, archive) => run("/", "python3", "-c", PYTHON_TAR, "pack", archive, from, format),
  unpack: (archive, to) => run("/", "python3", "-c", PYTHON_TAR, "unpack", archive, to),
  timeMs,
  losesLinkTimes: true,
});

const PYTHON_ZIP = `
import os, sys, zipfile
archive, kind = sys.argv[1:]
if kind == "zip64":
    zipfile.ZIP_FILECOUNT_LIMIT = 1
    zipfile.ZIP64_LIMIT = 10
out = open(archive, "wb") if kind == "zip64" else os.popen("cat > " + archive, "w").buffer
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
    for root, directories, files in os.walk("."):
        for name in sorted(directories + files):
            path = os.path.join(root, name)
            if not os.path.islink(path):
                z.write(path)
                continue
            entry = zipfile.ZipInfo(path, (2020, 2, 2, 2, 2, 2))
            entry.create_system, entry.external_attr = 3, 0o120777 << 16
            z.writestr(entry, os.readlink(path))
`;
/** What Python packs is unpacked by unzip, since Python itself keeps neither modes nor times. */
const pythonZip = (kind: "stream" | "zip64"): Tool => ({
  needs: "unzip",
  pack: (from, archive) => run(from, "python3", "-c", PYTHON_ZIP, `${archive}.zip`, kind),
  unpack: (archive, to) => run(to, "unzip", "-qo", `${archive}.zip`),
  timeMs: 2000,
  isPlain: true,
  losesLinkTimes: true,
});

const TOOLS: Readonly<Record<string, Tool>> = {
  "GNU tar, gnu format": gnuTar(1000, "--format=gnu"),
  "GNU tar, gnu format, sparse": gnuTar(1000, "--format=gnu", "-S"),
  "GNU tar, pax format": gnuTar(1, "--format=pax"),
  "GNU tar, pax sparse 0.0": gnuTar(1, "--format=pax", "-S", "--sparse-version=0.0"),
  "GNU tar, pax sparse 0.1": gnuTar(1, "--format=pax", "-S", "--sparse-version=0.1"),
  "GNU tar, pax sparse 1.0": gnuTar(1, "--format=pax", "-S", "--sparse-version=1.0"),
  "GNU tar, bzip2": gnuTar(1, "--format=pax", "-j"),
  "GNU tar, xz": gnuTar(1, "--format=pax", "-J"),
  "GNU tar, gzip": gnuTar(1, "--format=pax", "-z"),
  "GNU tar, xz with SHA-256": gnuTar(1, "--format=pax", "-I", "xz --check=sha256"),
  "GNU tar, zstd": gnuTar(1, "--format=pax", "--zstd"),
  "bsdtar, pax format": bsdTar(1, "--format=pax"),
  "bsdtar, gnu format, gzip": bsdTar(1000, "--format=gnutar", "-z"),
  "Python tarfile, pax format": pythonTar(1, "PAX_FORMAT"),
  "bsdtar, pax format, xz": bsdTar(1, "--format=pax", "-J"),
  "bsdtar, pax format, zstd": bsdTar(1, "--format=pax", "--zstd"),
  "Python tarfile, gnu format": pythonTar(1000, "GNU_FORMAT"),
  "zip": {
    needs: "zip",
    pack: (from, archive) => run(from, "zip", "-qry", `${archive}.zip`, "."),
    unpack: (archive, to) => run(to, "unzip", "-qo", `${archive}.zip`),
    timeMs: 2000,
    isPlain: true,
    losesLinkTimes: true,
  },
  "Python zipfile, into a pipe": pythonZip("stream"),
  "Python zipfile, as zip64": pythonZip("zip64"),
  "bsdtar, zip format": {
    ...bsdTar(2000, "--format=zip"),
    isPlain: true,
  },
};

for (const [name, tool] of Object.entries(TOOLS)) {
  const runs = has(tool.needs) && (!name.startsWith("zip") || has("unzip")) ? test : test.skip;
  runs(`unpackFile() and unpackTree() unpack as it does what was packed by ${name}`, async () => {
    await using dir = await scratch();
    const [from, theirs, archive] = [`${dir.path}/from`, `${dir.path}/theirs`, `${dir.path}/a`];
    mkdirSync(from);
    mkdirSync(theirs);
    makeNasty(from, tool.isPlain === true);
    tool.pack(from, archive);
    tool.unpack(archive, theirs);
    const expected = describeTree(theirs, tool);
    expect(expected.length).toBeGreaterThan(18);
    await unpackFile(`${dir.path}/${archiveAt(dir.path)}`, `${dir.path}/ours`);
    expect(describeTree(`${dir.path}/ours`, tool)).toEqual(expected);
    if (tool.isPlain === true) return;
    await unpackTree(readChunks(archive), `${dir.path}/stream`);
    expect(describeTree(`${dir.path}/stream`, tool)).toEqual(expected);
  }, 60_000);
}

/** The archive's name, which zip gives an ending. */
function archiveAt(directory: string): string {
  return readdirSync(directory).find((name) => name.startsWith("a")) ?? "a";
}
