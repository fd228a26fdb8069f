import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";

import { packedPrefixes } from "../../../shared/archive/packed_prefixes.ts";
import { scratch } from "./scratch.ts";

async function found(files: { readonly [path: string]: string }): Promise<string[]> {
  await using dir = await scratch();
  for (const name of ["bin", "conda-meta"]) mkdirSync(`${dir.path}/${name}`);
  for (const [path, text] of Object.entries(files)) writeFileSync(`${dir.path}/${path}`, text);
  return packedPrefixes(dir.path);
}

const config = (args: string) => found({ "pyvenv.cfg": `home = /usr/bin\ncommand = ${args}\n` });
const activate = (text: string) => found({ "bin/activate": `# comment\n${text}\n` });
const history = (text: string) => found({ "conda-meta/history": `${text}\n` });

test("packedPrefixes() reads the command by which a virtual environment was made", async () => {
  expect(await config("/usr/bin/python3 -m venv /home/u/env")).toEqual(["/home/u/env"]);
  expect(await config("/usr/bin/python3 -m venv --without-pip --copies /env/")).toEqual(["/env"]);
  expect(await config("/opt/a b/python -m venv /home/u/my env")).toEqual(["/home/u/my env"]);
  expect(await config("/usr/bin/python3 -m venv env")).toEqual([]);
  expect(await config(`/usr/bin/python3 -m venv /${"x".repeat(9000)}`)).toEqual([]);
});

test("packedPrefixes() reads how the activation of any tool names it", async () => {
  for (
    const line of [
      'VIRTUAL_ENV="/home/u/env"',
      "VIRTUAL_ENV='/home/u/env'",
      "VIRTUAL_ENV=/home/u/env",
      "    export VIRTUAL_ENV=/home/u/env",
      'export VIRTUAL_ENV="/home/u/env"  ',
    ]
  ) expect([line, await activate(line)]).toEqual([line, ["/home/u/env"]]);
  expect(await activate('VIRTUAL_ENV=$(cd "$(dirname x)" && pwd)')).toEqual([]);
  expect(await activate('VIRTUAL_ENV="$HOME/env"')).toEqual([]);
  expect(await activate("VIRTUAL_ENV=/")).toEqual([]);
});

test("packedPrefixes() reads for which prefix conda was called", async () => {
  expect(await history("# cmd: /opt/conda/bin/conda create -p /home/u/env python")).toEqual([
    "/home/u/env",
  ]);
  expect(await history("# cmd: mamba install --prefix=/home/u/env numpy\n# cmd: conda -n x"))
    .toEqual(["/home/u/env"]);
  expect(await history("# update specs: -p /home/u/env")).toEqual([]);
});

test("packedPrefixes() finds each once, and nothing where nothing is", async () => {
  expect(
    await found({
      "pyvenv.cfg": "command = python -m venv /home/u/env",
      "bin/activate": "VIRTUAL_ENV=/home/u/env\nVIRTUAL_ENV=/other",
    }),
  ).toEqual(["/home/u/env", "/other"]);
  await using dir = await scratch();
  expect(packedPrefixes(dir.path)).toEqual([]);
  symlinkSync(dir.path, `${dir.path}/pyvenv.cfg`);
  expect(packedPrefixes(dir.path)).toEqual([]);
});
