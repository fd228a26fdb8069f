import { expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";

import { dirname } from "@std/path";

import { type Fact, Manager } from "../../mod.ts";
import { packLikeConda, PLACEHOLDER } from "./conda_archive.ts";
import { Scratch } from "./scratch.ts";

const PYTHON = "/usr/bin/python3";

/** Where the system's Python has numpy; empty when it has none. */
const NUMPY: string = spawnSync(PYTHON, ["-c", "import numpy; print(numpy.__path__[0])"], {
  encoding: "utf8",
}).stdout?.trim() ?? "";

const HAS_PYTHON: boolean = spawnSync(PYTHON, ["-m", "venv", "--help"]).status === 0;

if (NUMPY === "") {
  process.stdout.write("note: the system's Python has no numpy: its environment is not tested\n");
}

/** Prints what a task in the environment finds: see `TaskFindings`. */
const PROBE = `
import json, os, sys, numpy
prefix = sys.prefix
def compiled_from(module):
    path, source = getattr(module, "__cached__", None), getattr(module, "__file__", None)
    if not path or not source or not source.startswith(prefix) or not source.endswith(".py"):
        return None
    if not os.path.exists(path): return "missing"
    with open(path, "rb") as file: header = file.read(16)
    status = os.stat(source)
    wanted = (int(status.st_mtime) & 0xffffffff, status.st_size & 0xffffffff)
    found = tuple(int.from_bytes(header[at:at + 4], "little") for at in (8, 12))
    return "fresh" if found == wanted else "stale"
states = [compiled_from(module) for module in list(sys.modules.values())]
with open(os.path.join(prefix, "etc/tool.cfg")) as file: text = file.read()
with open(os.path.join(prefix, "lib/tool.bin"), "rb") as file: binary = file.read().hex()
print(json.dumps({
    "numpy": numpy.__file__, "sum": int(numpy.arange(10).sum()), "prefix": prefix,
    "inode": os.stat(numpy.__file__).st_ino, "text": text, "binary": binary,
    "linked": os.readlink(os.path.join(prefix, "share/tool.cfg")),
    "config": os.popen("python3-config --prefix").read().strip(),
    "conda": os.environ.get("CONDA_PREFIX"), "hook": os.environ.get("TOOL_DATA"),
    "fresh": states.count("fresh"), "stale": states.count("stale") + states.count("missing"),
}))
`;

interface TaskFindings {
  readonly numpy: string;
  readonly sum: number;
  readonly prefix: string;
  readonly inode: number;
  readonly text: string;
  /** Hex. */
  readonly binary: string;
  readonly linked: string;
  readonly config: string;
  readonly conda: string;
  readonly hook: string;
  readonly fresh: number;
  readonly stale: number;
}

function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, "latin1");
  chmodSync(path, mode);
}

/** A prefix as conda makes them, of the system's Python. */
function makePrefix(prefix: string): void {
  const python = realpathSync(PYTHON);
  const name = python.slice(python.lastIndexOf("/") + 1);
  mkdirSync(`${prefix}/bin`, { recursive: true });
  mkdirSync(`${prefix}/share`);
  copyFileSync(python, `${prefix}/bin/${name}`);
  for (const link of ["python", "python3"]) symlinkSync(name, `${prefix}/bin/${link}`);
  const packages = `${prefix}/lib/python3/dist-packages`;
  mkdirSync(packages, { recursive: true });
  // The library of the system's Python, which an absolute link of the user's own leads to.
  symlinkSync(`/usr/lib/${name}`, `${prefix}/lib/${name}`);
  const filter = (path: string) => !path.endsWith("/tests");
  cpSync(NUMPY, `${packages}/numpy`, { recursive: true, preserveTimestamps: true, filter });
  const command = `/opt/conda/bin/conda create --yes --prefix ${prefix} numpy`;
  write(`${prefix}/conda-meta/history`, `==> 2026-01-01 00:00:00 <==\n# cmd: ${command}\n`);
  write(`${prefix}/etc/tool.cfg`, `data=${PLACEHOLDER}/share\n`);
  linkSync(`${prefix}/etc/tool.cfg`, `${prefix}/etc/same.cfg`);
  write(`${prefix}/lib/tool.bin`, `\x7f\0${PLACEHOLDER}/lib:${PLACEHOLDER}/lib64\0end`);
  const config = `#!/bin/sh\nprefix="${PLACEHOLDER}"\necho "$prefix"\n`;
  write(`${prefix}/bin/python3-config`, config, 0o755);
  symlinkSync(`${prefix}/etc/tool.cfg`, `${prefix}/share/tool.cfg`);
  const hook = 'export TOOL_DATA="$CONDA_PREFIX/share"\n';
  write(`${prefix}/etc/conda/activate.d/tool.sh`, hook);
}

/** {worker: how often each made something by a recipe} */
function countMakes(manager: Manager): Map<string, number> {
  const makes = new Map<string, number>();
  manager.subscribe((facts: readonly Fact[]) => {
    for (const fact of facts) {
      if (fact.kind !== "transfer_started" || fact.from !== "recipe") continue;
      makes.set(fact.workerId, (makes.get(fact.workerId) ?? 0) + 1);
    }
  });
  return makes;
}

test.skipIf(NUMPY === "")(
  "Tasks on two workers use numpy of a prefix packed as conda-pack does, unpacked once by each",
  async () => {
    await using scratch = await Scratch.open();
    const prefix = scratch.path("packed");
    makePrefix(prefix);
    packLikeConda(prefix, scratch.path("env.tar.gz"), [
      ["etc/same.cfg", PLACEHOLDER, "text"],
      ["etc/tool.cfg", PLACEHOLDER, "text"],
      ["lib/tool.bin", PLACEHOLDER, "binary"],
    ]);
    await using manager = await Manager.start();
    const makes = countMakes(manager);
    const environment = manager.environment(scratch.path("env.tar.gz"));
    const workers = await Promise.all([scratch.worker(manager), scratch.worker(manager)]);
    const probe = manager.buffer(PROBE);
    const results = await Promise.all(
      Array.from(
        { length: 20 },
        () =>
          manager.submit({
            command: "python3 probe.py",
            inputs: { "probe.py": probe },
            environment,
          }),
      ),
    );
    const inodes = new Map<string, Set<number>>();
    for (const { outcome, message, stderr, stdout } of results) {
      expect([outcome, message, stderr]).toEqual(["success", "", ""]);
      const found = JSON.parse(stdout) as TaskFindings;
      const { prefix: at } = found;
      expect(workers.some(({ workspace }) => at.startsWith(`${workspace}/`))).toBe(
        true,
      );
      const padding = "00".repeat(2 * (PLACEHOLDER.length - at.length));
      expect(found).toEqual({
        numpy: `${at}/lib/python3/dist-packages/numpy/__init__.py`,
        sum: 45,
        prefix: at,
        inode: found.inode,
        text: `data=${at}/share\n`,
        binary: `7f00${hex(`${at}/lib:${at}/lib64`)}${padding}00${hex("end")}`,
        linked: `${at}/etc/tool.cfg`,
        config: at,
        conda: at,
        hook: `${at}/share`,
        fresh: found.fresh,
        stale: 0,
      });
      expect(found.fresh).toBeGreaterThan(50);
      inodes.set(at, (inodes.get(at) ?? new Set()).add(found.inode));
    }
    expect([...makes.values()]).toEqual([1, 1]);
    expect([...inodes.values()].map(({ size }) => size)).toEqual([1, 1]);
  },
  120_000,
);

function hex(text: string): string {
  return Buffer.from(text, "latin1").toString("hex");
}

/** Makes a virtual environment with a script as `pip` installs them. */
function makeVirtual(root: string): void {
  execFileSync(PYTHON, ["-m", "venv", "--without-pip", root]);
  const script = `#!${root}/bin/python3\nimport sys\nprint("hello from", sys.prefix)\n`;
  write(`${root}/bin/hello`, script, 0o755);
}

test.skipIf(!HAS_PYTHON).each(["as a directory", "by what is in it"])(
  "Tasks run in a virtual environment that tar packed %s",
  async (how) => {
    await using scratch = await Scratch.open();
    const root = scratch.path("my-env");
    makeVirtual(root);
    const what = how === "as a directory" ? ["-C", scratch.folder, "my-env"] : ["-C", root, "."];
    execFileSync("tar", ["-czf", scratch.path("venv.tar.gz"), ...what]);
    // What is left of it would be used without anybody noticing.
    execFileSync("rm", ["-r", root]);
    await using manager = await Manager.start({ workers: 1 });
    const environment = manager.environment(scratch.path("venv.tar.gz"));
    const command = "python -c 'import sys; print(sys.prefix)'; hello; echo $VIRTUAL_ENV; " +
      '. "$VIRTUAL_ENV/bin/activate"; echo $VIRTUAL_ENV; cat "$VIRTUAL_ENV/pyvenv.cfg"';
    const { outcome, stdout, stderr } = await manager.submit({ command, environment });
    expect([outcome, stderr]).toEqual(["success", ""]);
    const [prefix = "", hello, variable, activated, ...config] = stdout.trim().split("\n");
    expect(prefix).toContain("/cache/files/");
    expect(prefix.endsWith("/my-env")).toBe(how === "as a directory");
    expect([hello, variable, activated]).toEqual([`hello from ${prefix}`, prefix, prefix]);
    expect(config.find((line) => line.startsWith("command"))).toEndWith(` ${prefix}`);
    expect(stdout).not.toContain(root);
  },
  120_000,
);

/** As poncho writes it, less the looking around. */
const RUN_IN_ENV = `#!/bin/bash
here=$(cd "$(dirname "\${BASH_SOURCE[0]}")/.." && pwd)
. "$here/bin/activate"
exec "$@"
`;

/** As conda-pack writes it for bash. */
const ACTIVATE = `
_activate() {
  local here="$(cd "$(dirname "\${BASH_SOURCE[0]}")/.." && pwd)" hook
  if [ "$CONDA_PREFIX" = "$here" ]; then return 0; fi
  export CONDA_PREFIX="$here" ACTIVATED_AGAIN=1
  PATH="$here/bin:$PATH"
  for hook in "$here"/etc/conda/activate.d/*.sh; do . "$hook"; done
}
_activate
`;

test("A task uses several environments, the first foremost, and run_in_env of any", async () => {
  await using scratch = await Scratch.open();
  const archives = ["first", "second"].map((name) => {
    const prefix = scratch.path(name);
    write(`${prefix}/conda-meta/history`, "");
    write(`${prefix}/bin/who`, `#!/bin/sh\necho ${name} "$DATA" "$ACTIVATED_AGAIN"\n`, 0o755);
    write(`${prefix}/bin/of-${name}`, `#!/bin/sh\necho of ${name}\n`, 0o755);
    write(`${prefix}/bin/activate`, ACTIVATE);
    write(`${prefix}/bin/run_in_env`, RUN_IN_ENV, 0o755);
    const hook = `export DATA="$CONDA_PREFIX/data" STACK="${name} $STACK"\n`;
    write(`${prefix}/etc/conda/activate.d/data.sh`, hook);
    packLikeConda(prefix, scratch.path(`${name}.tar.gz`), []);
    return scratch.path(`${name}.tar.gz`);
  });
  await using manager = await Manager.start({ workers: 1 });
  const [first, second] = archives.map((path) => manager.environment(path));
  const command = 'who; of-first; of-second; echo "$STACK"; echo "$TENDRIL_ENVIRONMENT"; ' +
    'run_in_env who; echo "$PATH"';
  const both = await manager.submit({ command, environment: [first!, second!] });
  const [who = "", ...lines] = both.stdout.split("\n");
  const [, root = ""] = /^first (\/.*)\/data $/.exec(who) ?? [];
  expect(lines.slice(0, 5)).toEqual([
    "of first",
    "of second",
    "first second ",
    root,
    `first ${root}/data `,
  ]);
  expect(lines[5]).toMatch(new RegExp(`^${root}/bin:/.*/cache/files/[^/]*/bin:/`));
  const swapped = await manager.submit({ command, environment: [second!, first!] });
  expect(swapped.stdout).toStartWith("second /");
  await expect(first!.contents()).rejects.toThrow("an environment is of no use elsewhere");
}, 120_000);

test("An archive that cannot be relocated fails its tasks with the entry at fault", async () => {
  await using scratch = await Scratch.open();
  const prefix = scratch.path("prefix");
  write(`${prefix}/bin/tool`, "#!/bin/sh\n", 0o755);
  packLikeConda(prefix, scratch.path("bad.tar.gz"), [["bin/none", PLACEHOLDER, "text"]]);
  await using manager = await Manager.start({ workers: 1 });
  const environment = manager.environment(scratch.path("bad.tar.gz"));
  const { outcome, message } = await manager.submit({ command: "tool", environment });
  expect(outcome).not.toBe("success");
  expect(message).toContain('entry "bin/none"');
}, 120_000);
