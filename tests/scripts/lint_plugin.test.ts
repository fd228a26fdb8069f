import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { dirname, join } from "@std/path";

const ROOT = join(import.meta.dirname ?? "", "../..");

/** `[rule, path from the root, source]`: each must be reported by its rule in its file. */
const VIOLATIONS: [rule: string, path: string, source: string][] = [
  // Directions, one for each pair that is not drawn.
  ["import-direction", "shared/a.ts", `import { x } from "../manager/m.ts"; x();`],
  ["import-direction", "shared/b.ts", `import { x } from "../worker/core/m.ts"; x();`],
  ["import-direction", "shared/c.ts", `import { x } from "../mod.ts"; x();`],
  ["import-direction", "shared/d.ts", `import { x } from "tendril"; x();`],
  ["import-direction", "shared/e.ts", `import { x } from "../scripts/build.ts"; x();`],
  ["import-direction", "shared/f.ts", `import { x } from "../tests/harness.ts"; x();`],
  ["import-direction", "manager/a.ts", `import { x } from "../worker/m.ts"; x();`],
  ["import-direction", "manager/b.ts", `import { x } from "./dataflow/m.ts"; x();`],
  ["import-direction", "manager/c.ts", `import { x } from "./cli.ts"; x();`],
  ["import-direction", "manager/d.ts", `import { x } from "./cli_init.ts"; x();`],
  ["import-direction", "manager/dataflow/e.ts", `import { x } from "../monitoring/m.ts"; x();`],
  ["import-direction", "manager/core/a.ts", `import { x } from "../manager.ts"; x();`],
  ["import-direction", "manager/core/b.ts", `import { x } from "../providers/m.ts"; x();`],
  ["import-direction", "manager/core/c.ts", `import { x } from "../../worker/core/m.ts"; x();`],
  ["import-direction", "manager/dataflow/a.ts", `import { x } from "../cli.ts"; x();`],
  ["import-direction", "manager/providers/a.ts", `import { x } from "../core/m.ts"; x();`],
  ["import-direction", "manager/providers/b.ts", `import { x } from "../manager.ts"; x();`],
  ["import-direction", "manager/monitoring/a.ts", `import { x } from "../manager.ts"; x();`],
  ["import-direction", "manager/monitoring/b.ts", `import { x } from "../core/event.ts"; x();`],
  ["import-direction", "manager/dashboard/a.ts", `import type { X } from "../core/state.ts";`],
  ["import-direction", "manager/cli.ts", `import { x } from "../worker/cli.ts"; x();`],
  ["import-direction", "manager/cli_run.ts", `import { x } from "../mod.ts"; x();`],
  ["import-direction", "worker/a.ts", `import { x } from "../manager/m.ts"; x();`],
  ["import-direction", "worker/b.ts", `import { x } from "./cli.ts"; x();`],
  ["import-direction", "worker/core/a.ts", `import { x } from "../worker.ts"; x();`],
  ["import-direction", "worker/cli.ts", `import { x } from "../manager/core/m.ts"; x();`],
  ["import-direction", "worker/library/a.ts", `import { x } from "../cli.ts"; x();`],
  // Every way to write one.
  ["import-direction", "worker/g.ts", `import type { X } from "../manager/m.ts";`],
  ["import-direction", "worker/h.ts", `import "../manager/m.ts";`],
  ["import-direction", "worker/i.ts", `export { x } from "../manager/m.ts";`],
  ["import-direction", "worker/j.ts", `export * from "../manager/m.ts";`],
  ["import-direction", "worker/k.ts", `export type { X } from "../manager/m.ts";`],
  ["import-direction", "worker/l.ts", `export type X = import("../manager/m.ts").X;`],
  ["import-direction", "worker/m.ts", `export const x = await import("../manager/m.ts");`],
  ["import-direction", "worker/n.ts", "export const x = await import(`../manager/m.ts`);"],
  ["import-direction", "worker/o.ts", "const p = 1; await import(`../manager/${p}.ts`);"],
  ["import-direction", "worker/p.ts", `await import("../man" + "ager/m.ts");`],
  ["import-direction", "worker/q.ts", `new Worker(new URL("../manager/m.ts", import.meta.url));`],
  ["import-direction", "worker/r.ts", `import.meta.resolve("../manager/m.ts");`],
  ["import-direction", "worker/s.ts", `import { x } from "./core/../../manager/m.ts"; x();`],
  ["import-direction", "worker/t.ts", `import x = require("../manager/m.ts"); x();`],
  ["import-direction", "worker/u.ts", `import { x } from "../elsewhere/m.ts"; x();`],
  // Purity.
  ["pure-core", "manager/core/p01.ts", `import { x } from "node:fs"; x();`],
  ["pure-core", "manager/core/p02.ts", `import { x } from "hono"; x();`],
  ["pure-core", "manager/core/p03.ts", `import "hono";`],
  ["pure-core", "manager/core/p04.ts", `import { type X } from "hono"; export type Y = X;`],
  ["pure-core", "manager/core/p05.ts", `export { x } from "node:fs";`],
  ["pure-core", "manager/core/p06.ts", `import { x } from "../../shared/log.ts"; x();`],
  ["pure-core", "manager/core/p07.ts", `import { x } from "../../shared/runtime/serve.ts"; x();`],
  ["pure-core", "manager/core/p08.ts", `export const x = Date.now();`],
  ["pure-core", "manager/core/p09.ts", `export const x = new Date();`],
  ["pure-core", "manager/core/p10.ts", `export const x = globalThis.Date.now();`],
  ["pure-core", "manager/core/p11.ts", `export const x = performance.now();`],
  ["pure-core", "manager/core/p12.ts", `export const x = Math.random();`],
  ["pure-core", "manager/core/p13.ts", `export const x = Math["random"]();`],
  ["pure-core", "manager/core/p14.ts", `const { random } = Math; random();`],
  ["pure-core", "manager/core/p15.ts", `export const m = Math;`],
  ["pure-core", "manager/core/p16.ts", `export const x = crypto.randomUUID();`],
  ["pure-core", "manager/core/p17.ts", `setTimeout(() => {}, 1);`],
  ["pure-core", "manager/core/p18.ts", `queueMicrotask(() => {});`],
  ["pure-core", "manager/core/p19.ts", `console.log(1);`],
  ["pure-core", "manager/core/p20.ts", `fetch("x");`],
  ["pure-core", "manager/core/p21.ts", `export async function x(): X {}`],
  ["pure-core", "manager/core/p22.ts", `export const x = async () => {};`],
  ["pure-core", "manager/core/p23.ts", `export const x = { async run() {} };`],
  ["pure-core", "manager/core/p24.ts", `await x;\nexport const x = 1;`],
  ["pure-core", "manager/core/p25.ts", `for await (const x of []) x;`],
  ["pure-core", "manager/core/p26.ts", `const x = process.env.HOME; x;`],
  ["pure-core", "manager/core/p27.ts", `new WebSocket("ws://x");`],
  ["pure-core", "manager/core/p28.ts", `export const x = localStorage.y;`],
  ["pure-core", "manager/core/p29.ts", `export const x = import("../../shared/ids.ts");`],
  ["pure-core", "manager/core/p30.ts", `export const x = import.meta.url;`],
  [
    "pure-core",
    "manager/core/p31.ts",
    `export const x = ["b"].sort((a, b) => a.localeCompare(b));`,
  ],
  ["pure-core", "manager/core/p32.ts", `export const x = { setTimeout };`],
  ["pure-core", "manager/core/p33.ts", `const f = (fetch: X) => fetch; f; fetch("x");`],
  ["pure-core", "manager/core/p34.ts", `export const x = Promise.resolve(1);`],
  ["pure-core", "manager/core/p35.ts", `export const x = eval("1");`],
  ["pure-core", "manager/core/p36.ts", `export const x = (Date as X).now();`],
  ["pure-core", "worker/core/p37.ts", `export const x = Date.now();`],
  ["pure-core", "worker/core/p38.ts", `import { x } from "node:path"; x();`],
  ["pure-core", "shared/heap.ts", `export const x = Date.now();`],
  ["pure-core", "shared/units.ts", `import { x } from "./log.ts"; x();`],
  // Runtimes.
  ["runtime-in-one-place", "manager/r1.ts", `export const x = Bun.version;`],
  ["runtime-in-one-place", "manager/r2.ts", `export const x = Deno.version;`],
  ["runtime-in-one-place", "worker/r3.ts", `export const x = globalThis.Bun;`],
  ["runtime-in-one-place", "worker/r4.ts", `export const x = globalThis["Deno"];`],
  ["runtime-in-one-place", "worker/r5.ts", `export const x = "Bun" in globalThis;`],
  ["runtime-in-one-place", "worker/r6.ts", `const { Bun } = globalThis; Bun;`],
  ["runtime-in-one-place", "worker/r7.ts", `export type X = typeof Deno;`],
  ["runtime-in-one-place", "shared/r8.ts", `export type X = Deno.Conn;`],
  ["runtime-in-one-place", "mod.ts", `export const x = process.versions.bun;`],
  ["runtime-in-one-place", "worker/r9.ts", `import { x } from "bun"; x();`],
  ["runtime-in-one-place", "worker/r10.ts", `import type { X } from "bun"; export type Y = X;`],
  ["runtime-in-one-place", "worker/r11.ts", `export const x = await import("bun:ffi");`],
  ["runtime-in-one-place", "shared/runtime/r12.ts", `import { x } from "bun"; x();`],
  // Exports.
  ["named-exports", "shared/n1.ts", `export default function x() {}`],
  ["named-exports", "shared/n2.ts", `const x = 1; export { x as default };`],
  ["named-exports", "shared/n3.ts", `export { default } from "./n1.ts";`],
  ["named-exports", "tests/n4.ts", `export default 1;`],
  // Lengths.
  ["length", "shared/l1.ts", lines(601)],
  ["length", "shared/l2.ts", `export function x() {\n${lines(69)}\n}`],
  ["length", "shared/l3.ts", `export const x = () => {\n${lines(69)}\n};`],
  ["length", "shared/l4.ts", `export const x = function () {\n${lines(69)}\n};`],
  ["length", "shared/l5.ts", `export class X {\n  #x() {\n${lines(69)}\n  }\n}`],
  ["length", "shared/l6.ts", `export class X {\n  constructor() {\n${lines(69)}\n  }\n}`],
  ["length", "shared/l7.ts", `export const x = {\n  get y() {\n${lines(69)}\n  },\n};`],
  ["length", "shared/l8.ts", `export class X {\n  y = () => {\n${lines(69)}\n  };\n}`],
  // Names.
  ["file-name", "shared/utils.ts", ""],
  ["file-name", "shared/helpers.ts", ""],
  ["file-name", "manager/common.ts", ""],
  ["file-name", "worker/types.ts", ""],
  ["file-name", "worker/misc/a.ts", ""],
  ["file-name", "tests/helpers.ts", ""],
  ["file-name", "shared/camelCase.ts", ""],
];

/** `[path from the root, source]`: none of these may be reported. */
const CLEAN: [path: string, source: string][] = [
  ["shared/z1.ts", `import { x } from "node:fs"; x(Date.now());`],
  ["shared/runtime/z2.ts", `export const x = globalThis.Bun?.version ?? Deno.version;`],
  ["shared/runtime/z3.ts", `export const x = await import("bun");\nimport type { X } from "bun";`],
  ["shared/runtime/z4.ts", `export const load = (path: string) => import(path);`],
  ["shared/z5.ts", `import manifest from "../package.json" with { type: "json" }; manifest;`],
  ["manager/core/z1.ts", `import { x } from "../../shared/ids.ts"; x();`],
  ["manager/core/z2.ts", `import type { X } from "hono"; export type Y = X;`],
  ["manager/core/z3.ts", `import type { X } from "../../shared/log.ts"; export type Y = X;`],
  [
    "manager/core/z4.ts",
    `export function step<T>({ a, b: [c] }: S, ...rest: readonly T[]): Uint8Array {
  const label = Math.max(a, c, rest.length);
  outer: for (const [k, v = 1] of new Map<string, Date>()) {
    try {
      if (k) break outer;
    } catch (error) {
      throw new RangeError(String(error), { cause: v });
    }
  }
  const copy = { fetch: label, process: { now: 1 }, label };
  return new Uint8Array(copy.fetch + copy.process.now as number);
}`,
  ],
  ["manager/z1.ts", `import { x } from "./core/m.ts"; import { y } from "./providers/m.ts"; x(y);`],
  ["manager/dataflow/z1.ts", `import { x } from "../manager.ts"; x();`],
  ["manager/providers/z1.ts", `import { x } from "../../shared/m.ts"; x();`],
  ["manager/monitoring/z1.ts", `import type { X } from "../core/event.ts"; export type Y = X;`],
  ["manager/dashboard/z1.ts", `import { x } from "../monitoring/m.ts"; x();`],
  ["manager/cli_status.ts", `import { x } from "./dataflow/m.ts"; x();`],
  ["worker/z1.ts", `import { x } from "./core/m.ts"; import { y } from "./library/m.ts"; x(y);`],
  ["worker/library/z1.ts", `export const load = (path: string) => import(path);`],
  ["worker/cli_cache.ts", `import { x } from "./cache_store.ts"; x();`],
  ["scripts/z1.ts", `import { x } from "../worker/m.ts"; x(Bun.version, Deno.version);`],
  ["tests/z1.test.ts", `import { x } from "../manager/core/m.ts"; x();\n${lines(700)}`],
  ["shared/l9.ts", `export function x() {\n${lines(68)}\n}`],
  ["shared/l10.ts", lines(600)],
];

let tree = "";
/** `path rule` of everything that was reported. */
const reported = new Set<string>();

beforeAll(() => {
  tree = mkdtempSync(join(tmpdir(), "tendril lint-"));
  for (const file of ["deno.json", "scripts/lint_plugin.ts"]) {
    cpSync(join(ROOT, file), join(tree, file), { recursive: true });
  }
  for (const [path, source] of [...VIOLATIONS.map(([, ...file]) => file), ...CLEAN]) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), source + "\n");
  }
  const lint = spawnSync("deno", ["lint", "--json"], {
    cwd: tree,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  const { diagnostics, errors } = JSON.parse(lint.stdout);
  if (errors.length > 0) throw new Error(`Cannot lint the planted tree: ${lint.stdout}`);
  for (const { filename, code } of diagnostics) {
    reported.add(
      `${decodeURIComponent(new URL(filename).pathname).slice(tree.length + 1)} ${code}`,
    );
  }
});

afterAll(() => rmSync(tree, { recursive: true, force: true }));

describe("lint_plugin reports", () => {
  test.each(VIOLATIONS)("%s in %s", (rule, path) => {
    expect([...reported]).toContain(`${path} layout/${rule}`);
  });
});

describe("lint_plugin accepts", () => {
  test.each(CLEAN)("%s", (path) => {
    expect([...reported].filter((line) => line.startsWith(`${path} layout/`))).toEqual([]);
  });
});

test("deno lint exits with a failure for a planted violation", () => {
  const lint = spawnSync("deno", ["lint", "shared/a.ts"], { cwd: tree, encoding: "utf8" });
  expect(lint.status).toBe(1);
  expect(lint.stderr).toContain(
    `Cannot import "manager/m.ts" in "shared/a.ts": shared/ may import only itself`,
  );
});

test("no source switches a rule of the layout off", () => {
  const found = spawnSync(
    "git",
    ["grep", "-nE", "deno-lint-ignore(-file)?( .*layout/|$)", "--", "*.ts", ":!tests/scripts"],
    { cwd: ROOT, encoding: "utf8" },
  );
  expect(found.stdout).toBe("");
});

function lines(count: number): string {
  return Array.from({ length: count }, (_, index) => `const x${index} = 1;`).join("\n");
}
