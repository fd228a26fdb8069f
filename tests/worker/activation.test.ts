import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";

import { dirname, join } from "@std/path";

import { Activations } from "../../worker/activation.ts";
import { NO_ACTIVATION } from "../../worker/task_environment.ts";
import { until } from "./task_fixture.ts";

const PATH = "/usr/local/bin:/usr/bin:/bin";

class Bench implements Disposable {
  readonly folder: string = realpathSync(mkdtempSync(join(tmpdir(), "tendril-test-")));

  /** Makes an environment of these files. */
  environment(name: string, files: { readonly [path: string]: string }): string {
    const root = join(this.folder, name);
    mkdirSync(root);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text, { mode: 0o755 });
    }
    return root;
  }

  activations(env: { readonly [name: string]: string } = {}, hooksMsMax?: number): Activations {
    const options = { env: { PATH, ...env }, mark: "mark" };
    return new Activations(hooksMsMax === undefined ? options : { ...options, hooksMsMax });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const CONDA = { "conda-meta/history": "", "bin/tool": "" };

test("Activations.of() says nothing of no environment", async () => {
  using bench = new Bench();
  expect(await bench.activations().of([])).toBe(NO_ACTIVATION);
});

test("Activations.of() tells a virtual environment from one of conda and from plain software", async () => {
  using bench = new Bench();
  const plain = bench.environment("plain", { "bin/tool": "" });
  const virtual = bench.environment("virtual", { "venv/pyvenv.cfg": "", "venv/bin/tool": "" });
  const conda = bench.environment("conda", CONDA);
  // Of the session that the worker was started in.
  const outer = { VIRTUAL_ENV: "/outer", CONDA_PREFIX: "/outer", PYTHONHOME: "/outer", KEPT: "1" };
  const activations = bench.activations(outer);
  const unset = ["VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME"];
  expect(await activations.of([plain])).toEqual({
    rootPath: plain,
    pathDirectories: [`${plain}/bin`],
    set: {},
    unset: [],
  });
  expect(await activations.of([virtual])).toEqual({
    rootPath: `${virtual}/venv`,
    pathDirectories: [`${virtual}/venv/bin`],
    set: { VIRTUAL_ENV: `${virtual}/venv` },
    unset: unset.slice(1),
  });
  expect(await activations.of([plain, conda, virtual])).toEqual({
    rootPath: plain,
    pathDirectories: [`${plain}/bin`, `${conda}/bin`, `${virtual}/venv/bin`],
    set: {
      CONDA_PREFIX: conda,
      CONDA_DEFAULT_ENV: conda,
      VIRTUAL_ENV: `${virtual}/venv`,
    },
    unset: ["PYTHONHOME"],
  });
});

test("Activations.of() reads the scripts of conda once, whatever they print", async () => {
  using bench = new Bench();
  const root = bench.environment("conda", {
    ...CONDA,
    "etc/conda/activate.d/a.sh": `echo noise; echo x >> "${bench.folder}/count"
export GDAL_DATA="$CONDA_PREFIX/share/gdal" LINES_OF="a
b" LD_LIBRARY_PATH="$CONDA_PREFIX/lib:$LD_LIBRARY_PATH" PATH="$CONDA_PREFIX/extra:$PATH"
unset GONE
local_only=1
f() { :; }
export -f f 2>/dev/null
false`,
    "etc/conda/activate.d/b.sh": "export SECOND=$GDAL_DATA HOME=/of/hooks",
    "etc/conda/activate.d/c.csh": "exit 1",
  });
  const activations = bench.activations({ GONE: "1", LD_LIBRARY_PATH: "/site", HOME: "/home/u" });
  const found = await Promise.all([activations.of([root]), activations.of([root])]);
  expect(found[0]).toEqual({
    rootPath: root,
    pathDirectories: [`${root}/extra`, `${root}/bin`],
    set: {
      CONDA_PREFIX: root,
      CONDA_DEFAULT_ENV: root,
      GDAL_DATA: `${root}/share/gdal`,
      LINES_OF: "a\nb",
      LD_LIBRARY_PATH: `${root}/lib:/site`,
      SECOND: `${root}/share/gdal`,
      HOME: "/of/hooks",
    },
    unset: ["GONE"],
  });
  expect(found[1]).toEqual(found[0]);
  expect(readFileSync(join(bench.folder, "count"), "utf8")).toBe("x\n");
});

test("Activations.of() has the scripts of the first environment read last", async () => {
  using bench = new Bench();
  const [first = "", second = ""] = ["first", "second"].map((name) =>
    bench.environment(name, {
      ...CONDA,
      "etc/conda/activate.d/a.sh": `export WHO="${name} $WHO" PROJ_LIB="$CONDA_PREFIX/proj"`,
    })
  );
  const { set, pathDirectories } = await bench.activations().of([first, second]);
  expect(set).toEqual({
    CONDA_PREFIX: first,
    CONDA_DEFAULT_ENV: first,
    WHO: "first second ",
    PROJ_LIB: `${first}/proj`,
  });
  expect(pathDirectories).toEqual([`${first}/bin`, `${second}/bin`]);
});

test("Activations.of() fails with what the scripts complain of, and tries again", async () => {
  using bench = new Bench();
  const hook = "etc/conda/activate.d/a.sh";
  const root = bench.environment("conda", { ...CONDA, [hook]: "echo no license >&2; exit 3" });
  const activations = bench.activations();
  await expect(activations.of([root])).rejects.toThrow(
    /^Cannot activate environment ".*\/conda" by its etc\/conda\/activate.d: .*code 3. no license$/,
  );
  writeFileSync(join(root, hook), "export FOUND=1");
  expect((await activations.of([root])).set).toMatchObject({ FOUND: "1" });
});

test("Activations.of() ends scripts that take too long", async () => {
  using bench = new Bench();
  const files = { ...CONDA, "etc/conda/activate.d/a.sh": "exec sleep 1000" };
  const root = bench.environment("conda", files);
  await expect(bench.activations({}, 20).of([root])).rejects.toThrow("its scripts take too long");
});

test("Activations.close() ends the scripts with all they started", async () => {
  using bench = new Bench();
  const root = bench.environment("conda", {
    ...CONDA,
    "etc/conda/activate.d/a.sh":
      `sleep 1000 & echo $! > "${bench.folder}/new"; mv "${bench.folder}/new" "${bench.folder}/pid"
wait`,
  });
  const activations = bench.activations();
  const finding = activations.of([root]);
  const path = join(bench.folder, "pid");
  await until("the scripts", () => existsSync(path));
  activations.close();
  await expect(finding).rejects.toThrow("the worker ends");
  const status = `/proc/${readFileSync(path, "utf8").trim()}/status`;
  // Killed, though perhaps not yet waited for.
  await until(
    "their end",
    () => !existsSync(status) || readFileSync(status, "latin1").includes("State:\tZ"),
  );
});

test("Activations.of() takes what daemons of the scripts hold open for nothing", async () => {
  using bench = new Bench();
  const root = bench.environment("conda", {
    ...CONDA,
    "etc/conda/activate.d/a.sh": "sleep 1000 & export STARTED=1",
  });
  expect((await bench.activations().of([root])).set).toMatchObject({ STARTED: "1" });
});
