import { expect, test } from "bun:test";
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";

import { readEnvironment } from "../../../worker/packing/environment.ts";
import { scratch } from "../../shared/archive/scratch.ts";

const STRICT = { isEditableIgnored: false, isMissingIgnored: false };

function makeVenv(root: string): string {
  const site = `${root}/lib/python3.11/site-packages`;
  mkdirSync(site, { recursive: true });
  writeFileSync(`${root}/pyvenv.cfg`, "home = /usr/bin\n");
  return site;
}

function makeConda(root: string, records: { readonly [name: string]: unknown }): void {
  mkdirSync(`${root}/conda-meta`);
  for (const [name, record] of Object.entries(records)) {
    const text = typeof record === "string" ? record : JSON.stringify(record);
    writeFileSync(`${root}/conda-meta/${name}`, text);
  }
}

test("readEnvironment() tells a conda prefix, a virtual environment and neither", async () => {
  for (const kind of ["conda", "venv", "plain"] as const) {
    await using dir = await scratch();
    if (kind === "conda") makeConda(dir.path, {});
    if (kind === "venv") makeVenv(dir.path);
    expect((await readEnvironment(dir.path, STRICT)).kind).toBe(kind);
  }
  await expect(readEnvironment("/", STRICT)).rejects.toThrow('Cannot pack "/" as an archive');
});

test("readEnvironment() makes links into the directory relative, by whichever of its names", async () => {
  await using dir = await scratch();
  const [real, named] = [`${dir.path}/real`, `${dir.path}/named`];
  mkdirSync(`${real}/a/b`, { recursive: true });
  symlinkSync(real, named);
  const links = {
    "a/b/same": [`${real}/a/b`, "."],
    "a/b/up": [`${named}/x/./y`, "../../x/y"],
    "a/root": [`${real}/`, ".."],
    "a/out": [`${real}/../other`, `${real}/../other`],
    "python": ["/usr/bin/python3", "/usr/bin/python3"],
    "relative": ["a/../b", "a/../b"],
  };
  for (const [path, [target]] of Object.entries(links)) symlinkSync(target!, `${real}/${path}`);
  const { entries, prefixes } = await readEnvironment(named, STRICT);
  expect(prefixes).toEqual([real, named]);
  const found = entries.filter(({ kind }) => kind === "symlink").map((e) => [e.path, e.target]);
  expect(Object.fromEntries(found)).toEqual(
    Object.fromEntries(Object.entries(links).map(([path, [, target]]) => [path, target])),
  );
});

test("readEnvironment() knows where a virtual environment was made, if not here", async () => {
  await using dir = await scratch();
  makeVenv(dir.path);
  writeFileSync(`${dir.path}/pyvenv.cfg`, "command = /usr/bin/python3 -m venv /old/env\n");
  mkdirSync(`${dir.path}/bin`);
  writeFileSync(`${dir.path}/bin/activate`, `VIRTUAL_ENV="${dir.path}"\n`);
  expect((await readEnvironment(dir.path, STRICT)).prefixes).toEqual([dir.path, "/old/env"]);
});

test("readEnvironment() knows the names of one file, and leaves out what is no part of a prefix", async () => {
  await using dir = await scratch();
  makeConda(dir.path, {});
  for (const path of ["bin", "envs/other", "pkgs/cached", "lib/pkgs"]) {
    mkdirSync(`${dir.path}/${path}`, { recursive: true });
  }
  writeFileSync(`${dir.path}/bin/conda-unpack`, "an old one");
  writeFileSync(`${dir.path}/lib/b`, "b");
  linkSync(`${dir.path}/lib/b`, `${dir.path}/bin/z`);
  linkSync(`${dir.path}/lib/b`, `${dir.path}/lib/c`);
  const { entries } = await readEnvironment(dir.path, STRICT);
  expect(entries.map(({ path, sameAs }) => sameAs === undefined ? path : `${path} = ${sameAs}`))
    .toEqual(["bin", "bin/z", "conda-meta", "lib", "lib/b = bin/z", "lib/c = bin/z", "lib/pkgs"]);
});

test("readEnvironment() refuses editable installs by name, unless they are to be ignored", async () => {
  await using dir = await scratch();
  const site = makeVenv(dir.path);
  writeFileSync(
    `${site}/fine.pth`,
    "import x; x.y()\n# /elsewhere\nsub/directory\n",
  );
  writeFileSync(`${site}/inside.pth`, `${dir.path}/src/own\n`);
  writeFileSync(`${site}/inside.egg-link`, `${dir.path}/src/own\n.`);
  mkdirSync(`${dir.path}/share`);
  writeFileSync(`${dir.path}/share/no.pth`, "/elsewhere\n");
  await readEnvironment(dir.path, STRICT);
  for (
    const [name, text] of [
      ["out.pth", "sub\n/elsewhere/src\n"],
      ["near.pth", `${dir.path}2/src\n`],
      ["old.egg-link", "/elsewhere\n.\n"],
      ["__editable__.pkg-1.0.pth", "import __editable___pkg_finder\n"],
    ] as const
  ) {
    await using other = await scratch();
    writeFileSync(`${makeVenv(other.path)}/${name}`, text);
    const error: Error = await readEnvironment(other.path, STRICT).then(
      () => new Error("none"),
      (e) => e,
    );
    expect(error.message).toContain("Cannot pack ");
    expect(error.message).toContain(`"lib/python3.11/site-packages/${name}"`);
    await readEnvironment(other.path, { ...STRICT, isEditableIgnored: true });
  }
});

test("readEnvironment() names what conda installed and is gone, and records that are none", async () => {
  await using dir = await scratch();
  const files = ["lib/there", "lib/gone", "lib/never.pyc", "bin/gone too"];
  makeConda(dir.path, { "zlib-1.3-0.json": { files, paths_data: { paths: [] } } });
  mkdirSync(`${dir.path}/lib`);
  writeFileSync(`${dir.path}/lib/there`, "");
  await expect(readEnvironment(dir.path, STRICT)).rejects.toThrow(
    '"lib/gone of zlib-1.3-0", "bin/gone too of zlib-1.3-0" are not there',
  );
  await readEnvironment(dir.path, { ...STRICT, isMissingIgnored: true });
  for (const text of ["[]", "{", ""]) {
    writeFileSync(`${dir.path}/conda-meta/bad.json`, text);
    await expect(readEnvironment(dir.path, { ...STRICT, isMissingIgnored: true })).rejects.toThrow(
      'Cannot read "conda-meta/bad.json" as conda\'s record of a package: ',
    );
  }
});
