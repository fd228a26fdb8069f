import { expect, test } from "bun:test";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";

import { unpackEnvironment, unpackFile } from "../../shared/archive/unpack.ts";
import { PLACEHOLDER } from "../../worker/packing/prefix.ts";
import { describeTree } from "../shared/archive/describe_tree.ts";
import { scratch } from "../shared/archive/scratch.ts";
import { BINARY } from "./built.ts";

process.umask(0o022);

const EXACT = { timeMs: 1 };

function tendril(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(BINARY, ["pack", ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: "utf8", env: { PATH: process.env["PATH"] } });
}

/** With GNU tar; the archive is told by its contents. */
function untar(archive: string, to: string): void {
  mkdirSync(to);
  run("tar", "--no-same-owner", "-xf", archive, "-C", to);
}

/** Names in the order of the archive. */
function listed(archive: string): string[] {
  return run("tar", "--quoting-style=literal", "-tf", archive).trimEnd().split("\n");
}

/** What a package has in place of the prefix: 255 bytes, as conda-build writes. */
const CONDA_PLACEHOLDER = `/opt/conda_build${"_placehold".repeat(24)}`.padEnd(255, "_");
const SHORT_PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3";

/** Contents as in a package. */
const PACKAGE: Readonly<
  Record<string, { readonly mode: "text" | "binary"; readonly text: string }>
> = {
  "bin/tool": { mode: "text", text: `#!/bin/sh\necho ${CONDA_PLACEHOLDER}/share "$0"\n` },
  "lib/pkgconfig/x.pc": {
    mode: "text",
    text: `prefix=${SHORT_PLACEHOLDER}\nlibs=-L${SHORT_PLACEHOLDER}/lib\n`,
  },
  "lib/libx.so": {
    mode: "binary",
    text:
      `\x7fELF\0PATH=${CONDA_PLACEHOLDER}/bin:${CONDA_PLACEHOLDER}/sbin\0\xff\xfe${CONDA_PLACEHOLDER}\0\0\0end`,
  },
  "share/data": { mode: "text", text: "nothing of it" },
};

/** Writes `text` as conda does when it installs it at `prefix`. */
function installed(
  { mode, text }: { mode: "text" | "binary"; text: string },
  prefix: string,
): string {
  const replaced = (part: string, placeholder: string) => part.replaceAll(placeholder, prefix);
  if (mode === "text") return replaced(replaced(text, CONDA_PLACEHOLDER), SHORT_PLACEHOLDER);
  return text.split("\0").map((string) => {
    const start = string.indexOf(CONDA_PLACEHOLDER);
    return start < 0 ? string : replaced(string, CONDA_PLACEHOLDER).padEnd(string.length, "\0");
  }).join("\0");
}

/** A prefix as conda and pip leave it, with what file systems hold besides. */
function makeConda(prefix: string): void {
  for (
    const path of ["bin", "conda-meta", "lib/pkgconfig", "share/ünï 文字", "empty", "envs/other"]
  ) {
    mkdirSync(`${prefix}/${path}`, { recursive: true });
  }
  for (const [path, file] of Object.entries(PACKAGE)) {
    writeFileSync(`${prefix}/${path}`, installed(file, prefix), "latin1");
  }
  const paths = Object.entries(PACKAGE).map(([_path, { mode, text }]) => {
    const found = [CONDA_PLACEHOLDER, SHORT_PLACEHOLDER].find((one) => text.includes(one));
    return found === undefined ? { _path } : { _path, prefix_placeholder: found, file_mode: mode };
  });
  const record = { name: "x", files: Object.keys(PACKAGE), "paths_data": { paths } };
  writeFileSync(`${prefix}/conda-meta/x-1.0-0.json`, JSON.stringify(record));
  copyFileSync("/bin/sh", `${prefix}/bin/shell`);
  writeFileSync(`${prefix}/bin/entry`, `#!${prefix}/bin/shell\necho entry "$0"\n`);
  writeFileSync(
    `${prefix}/share/ünï 文字/conf`,
    `a=${prefix}\nb=${prefix}2/no\nc=-I${prefix}/include\n`,
  );
  writeFileSync(`${prefix}/lib/tight.so`, `\0${prefix}/lib\0next`);
  writeFileSync(`${prefix}/lib/${"long".repeat(40)}`, new Uint8Array(700_003).map((_, i) => i * i));
  linkSync(`${prefix}/bin/tool`, `${prefix}/bin/tool too`);
  linkSync(`${prefix}/share/data`, `${prefix}/lib/same`);
  symlinkSync(`${prefix}/lib/libx.so`, `${prefix}/lib/libx.so.1`);
  symlinkSync("../share", `${prefix}/lib/share`);
  for (const path of ["bin/tool", "bin/entry"]) chmodSync(`${prefix}/${path}`, 0o755);
  chmodSync(`${prefix}/lib/libx.so`, 0o444);
  chmodSync(`${prefix}/empty`, 0o711);
  const all = readdirSync(prefix, { recursive: true }) as string[];
  for (const [index, path] of all.entries()) {
    const seconds = 1_500_000_000 + 2 * index + (index % 2 === 0 ? 0 : 0.25);
    lutimesSync(`${prefix}/${path}`, seconds, seconds);
  }
}

for (const ending of [".tar.gz", ".tar.zst", ".tar"]) {
  test(`tendril pack makes a ${ending} of a conda prefix that works elsewhere`, async () => {
    await using dir = await scratch();
    const [from, archive, to] = [`${dir.path}/from`, `${dir.path}/x${ending}`, `${dir.path}/to`];
    makeConda(from);
    const result = tendril(from, "-o", archive);
    expect(result).toMatchObject({ status: 0 });
    expect(result.stdout).toMatch(
      /^packed 21 entries of 8\d\d kB, 6 to be relocated, into [\d.]+ k?M?B; in .*s\n$/,
    );
    expect(result.stderr).toBe(
      'tendril pack: "lib/tight.so" keeps the path at which it lies now: ' +
        "it is a program with no room for another in 1 places\n",
    );
    const names = listed(archive);
    expect(names.at(-1)).toBe("bin/conda-unpack");
    expect(names.filter((name) => name.startsWith("envs"))).toEqual([]);
    const sorted = names.slice(0, -1).map((name) =>
      name.replace(/\/$/, "\0").replaceAll("/", "\0")
    );
    expect(sorted).toEqual(
      sorted.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    );
    // Not relocated yet: as it is in the package, whatever it was installed as.
    untar(archive, to);
    await unpackFile(archive, `${dir.path}/ours`);
    // GNU tar sets the time of bin/ before the last entry changes it again.
    const others = (line: string): boolean => !line.startsWith('"bin" ');
    expect(describeTree(`${dir.path}/ours`, EXACT).filter(others))
      .toEqual(describeTree(to, EXACT).filter(others));
    for (const [path, { text }] of Object.entries(PACKAGE)) {
      expect([path, readFileSync(`${to}/${path}`, "latin1")]).toEqual([path, text]);
    }
    const packed = describeTree(`${dir.path}/ours`, EXACT);
    const origin = describeTree(from, EXACT).filter((line) => !line.startsWith('"envs'));
    const changed = origin.filter((line) => !packed.includes(line)).map((line) =>
      line.split('"')[1]
    );
    expect(changed).toEqual([
      "bin/entry",
      "bin/tool",
      "bin/tool too",
      "lib/libx.so",
      "lib/libx.so.1",
      "lib/pkgconfig/x.pc",
      "share/ünï 文字/conf",
    ]);
    expect(packed).toContain(
      origin.find((line) => line.includes("lib/libx.so.1"))!.replace(`${from}/lib/`, ""),
    );
    for (let count = 0; count < 2; count++) {
      run(`${to}/bin/conda-unpack`);
      for (const [path, file] of Object.entries(PACKAGE)) {
        expect(readFileSync(`${to}/${path}`, "latin1")).toBe(installed(file, to));
      }
    }
    // A worker comes to the same, from the records alone; its script has none left.
    renameSync(to, `${dir.path}/by hand`);
    await unpackEnvironment(archive, to, { place: to });
    const files = (root: string): string[] =>
      describeTree(root, EXACT).filter((line) => !/ directory$|"bin.conda-unpack"/.test(line));
    expect(files(to)).toEqual(
      files(`${dir.path}/by hand`).map((line) => {
        return line.startsWith('"bin/tool too"') ? `${line}bin/tool` : line;
      }),
    );
    expect(run(`${to}/bin/tool`)).toBe(`${to}/share ${to}/bin/tool\n`);
    expect(run(`${to}/bin/tool too`)).toBe(`${to}/share ${to}/bin/tool too\n`);
    expect(run(`${to}/bin/entry`)).toBe(`entry ${to}/bin/entry\n`);
    expect(readFileSync(`${to}/share/ünï 文字/conf`, "utf8"))
      .toBe(`a=${to}\nb=${from}2/no\nc=-I${to}/include\n`);
  }, 120_000);
}

test("tendril pack makes an archive of a virtual environment that works elsewhere", async () => {
  await using dir = await scratch();
  const [from, archive, to] = [`${dir.path}/from`, `${dir.path}/x.tgz`, `${dir.path}/to`];
  run("python3", "-m", "venv", "--without-pip", from);
  const module = `${from}/lib/${readdirSync(`${from}/lib`)[0]}/site-packages/own.py`;
  writeFileSync(module, "answer = 42\n");
  // As pip writes it.
  const script = "import re\nimport sys\nimport own\nprint(own.__file__, own.answer)\n";
  writeFileSync(`${from}/bin/own`, `#!${from}/bin/python3\n${script}`, { mode: 0o755 });
  const result = tendril(from, "-o", archive, "--level", "1", "--threads", "2");
  expect(result).toMatchObject({ status: 0, stderr: "" });
  untar(archive, to);
  // Python's tarfile stops at what it does not understand, and says nothing.
  const counting = "import sys, tarfile; print(len(tarfile.open(sys.argv[1]).getnames()))";
  expect(Number(run("python3", "-c", counting, archive))).toBe(listed(archive).length);
  const text = readFileSync(`${to}/bin/activate`, "utf8");
  expect([text.includes(PLACEHOLDER), text.includes(from)]).toEqual([true, false]);
  run("python3", `${to}/bin/conda-unpack`);
  expect(readFileSync(`${to}/bin/own`, "utf8")).toBe(`#!${to}/bin/python3\n${script}`);
  expect(run(`${to}/bin/own`)).toMatch(new RegExp(`^${to}/lib/.*/own.py 42\n$`));
  const program = "import own, sys; print(sys.prefix, own.answer)";
  expect(run(`${to}/bin/python`, "-c", program)).toBe(`${to} 42\n`);
  const activated = `. ${to}/bin/activate && command -v own && echo $VIRTUAL_ENV`;
  expect(run("sh", "-c", activated)).toBe(`${to}/bin/own\n${to}\n`);
  const { stdout } = spawnSync("grep", ["-rlI", from, to], { encoding: "utf8" });
  expect(stdout).toBe("");
}, 120_000);

test("tendril pack makes an archive of any directory, and in place of another", async () => {
  await using dir = await scratch();
  const [from, archive] = [`${dir.path}/from`, `${dir.path}/x.tar.gz`];
  mkdirSync(`${from}/bin`, { recursive: true });
  writeFileSync(`${from}/bin/run`, `#!${from}/bin/sh\n`);
  writeFileSync(archive, "an old one");
  expect(tendril(from, "-o", archive)).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^packed 2 entries of \d+ B, into \d+ B; in /),
    stderr: "",
  });
  await unpackFile(archive, `${dir.path}/to`);
  expect(describeTree(`${dir.path}/to`, EXACT)).toEqual(describeTree(from, EXACT));
  expect(readdirSync(dir.path).sort()).toEqual(["from", "to", "x.tar.gz"]);
});

test.each([
  ["", 2, "Cannot pack without a directory: expected tendril pack DIR -o FILE"],
  ["from", 2, "Cannot pack without the name of an archive: expected tendril pack DIR -o FILE"],
  ["from to -o x.tar", 2, 'Cannot take "to" as an argument of pack'],
  [
    "from -o x.zip",
    2,
    'Cannot write "x.zip" as an archive: expected a name that ends in .tar.gz, ',
  ],
  [
    "from -o from/x.tar",
    2,
    'Cannot write "from/x.tar" as an archive of "from": it lies in that dir',
  ],
  [
    "from -o link/x.tar",
    2,
    'Cannot write "link/x.tar" as an archive of "from": it lies in that dir',
  ],
  ["from -o no/x.tar", 2, 'Cannot write "no/x.tar" as an archive: its folder does not exist'],
  ["gone -o x.tar", 2, 'Cannot pack "gone" as a directory: it does not exist'],
  ["file -o x.tar", 2, 'Cannot pack "file" as a directory: it is none'],
  ["from -o x.tgz --level 10", 2, 'Cannot read --level "10" as a whole number from 1 to 9'],
  ["from -o x.tar --level 1", 2, 'Cannot read --level "1" as anything: it is not compressed'],
  ["from -o x.tgz --threads 0", 2, 'Cannot read --threads "0" as a whole number from 1 to 1024'],
  ["odd -o x.tar.gz", 1, 'Cannot take entry "pipe" into the tree: it is a device, a pipe or a so'],
  ["venv -o x.tar.gz", 1, 'Cannot pack "/'],
])("tendril pack %s ends with code %d and says what is wrong", async (args, status, message) => {
  await using dir = await scratch();
  for (const name of ["from", "odd", "venv/site-packages"]) {
    mkdirSync(`${dir.path}/${name}`, { recursive: true });
  }
  run("mkfifo", `${dir.path}/odd/pipe`);
  symlinkSync("from", `${dir.path}/link`);
  writeFileSync(`${dir.path}/file`, "");
  writeFileSync(`${dir.path}/venv/pyvenv.cfg`, "");
  writeFileSync(`${dir.path}/venv/site-packages/own.egg-link`, "/src/own\n.");
  const before = readdirSync(dir.path);
  const result = spawnSync(BINARY, ["pack", ...args.split(" ").filter(Boolean)], {
    cwd: dir.path,
    encoding: "utf8",
  });
  expect(result).toMatchObject({ status, stdout: "" });
  expect(result.stderr).toStartWith(`tendril pack: ${message}`);
  expect(result.stderr).toMatch(/^[^\n]+\n$/);
  expect(readdirSync(dir.path)).toEqual(before);
});

test(
  "tendril pack leaves nothing when a file changes under it, nor when it is interrupted",
  async () => {
    await using dir = await scratch();
    mkdirSync(`${dir.path}/from`);
    // Enough to be still at it when the last file is written to.
    for (let index = 0; index < 40; index++) {
      writeFileSync(
        `${dir.path}/from/f${index}`,
        new Uint8Array(2_000_000).map((_, i) => i * i * index),
      );
    }
    for (const how of ["change", "SIGINT"] as const) {
      const args = ["pack", `${dir.path}/from`, "-o", `${dir.path}/x.tar.gz`, "--level", "9"];
      const child = spawn(BINARY, args, { stdio: ["ignore", "ignore", "pipe"] });
      let said = "";
      child.stderr.on("data", (data) => void (said += data));
      const ended = once(child, "close");
      while (!readdirSync(dir.path).some((name) => name.startsWith(".x.tar.gz."))) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (how === "change") appendFileSync(`${dir.path}/from/f9`, "more");
      else child.kill(how);
      expect(await ended).toEqual([1, null]);
      if (how === "change") {
        expect(said).toContain(
          'Cannot pack file "f9" as it was planned: its size',
        );
      }
      expect(readdirSync(dir.path)).toEqual(["from"]);
    }
  },
  120_000,
);
