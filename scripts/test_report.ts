/**
 * What a test runner says it ran, and what a test file says there is to run. `process.exit(0)` in a
 * test ends `bun test` and `deno test` with status 0, so a status alone proves nothing.
 */

import { stripVTControlCharacters } from "node:util";

import { parse } from "acorn";

/** How the tests of one file ended. */
export interface FileReport {
  /** Of every test, without the groups it stands in. */
  readonly names: readonly string[];
  /** Names of those that failed. */
  readonly failures: readonly string[];
  /** Names of those that were not run. */
  readonly skips: readonly string[];
}

/** `{path of a test file: how its tests ended}` */
export type TestReport = ReadonlyMap<string, FileReport>;

/**
 * Reads a JUnit report. Bun's names the file in `file`; in Deno's it is what stands before the first
 * ` > ` of the test's name, where tests/deno_shim.ts puts it.
 */
export function readReport(xml: string): TestReport {
  const report = new Map<string, { names: string[]; failures: string[]; skips: string[] }>();
  for (const [, head = "", body = ""] of xml.matchAll(TEST_CASE)) {
    const path = (attribute(head, "name") ?? "").split(" > ");
    const file = attribute(head, "file") ?? path[0] ?? "";
    const tests = report.get(file) ?? { names: [], failures: [], skips: [] };
    report.set(file, tests);
    const test = path.at(-1) ?? "";
    tests.names.push(test);
    if (/<(failure|error)\b/.test(body)) tests.failures.push(test);
    else if (/<skipped\b/.test(body)) tests.skips.push(test);
  }
  return report;
}

/**
 * How the tests of a file ended that was run a second time: what failed passes if every test of that
 * name was run again and passed, and what passed fails if it fails now.
 */
export function repaired(first: FileReport, second: FileReport | undefined): FileReport {
  const passedAgain = (name: string): boolean =>
    second !== undefined && ranCount(second.names, name) === ranCount(first.names, name) &&
    !second.failures.includes(name) && !second.skips.includes(name);
  const failures = first.failures.filter((name) => !passedAgain(name));
  const newFailures = second?.failures.filter((name) => !first.failures.includes(name)) ?? [];
  const unknown = newFailures.filter((name) => !first.names.includes(name));
  return {
    names: [...first.names, ...unknown],
    failures: [...failures, ...newFailures],
    skips: first.skips,
  };
}

function ranCount(names: readonly string[], name: string): number {
  return names.filter((ran) => ran === name).length;
}

/**
 * Errors that a runner counts and no test of its report has, as `{file: how many}`: what is thrown
 * between tests, or while a file is loaded. Its status does not tell them from failed tests. The file
 * is that which ran then, and empty where the runner does not say it.
 */
export function errorsOutside(output: string, report: TestReport): ReadonlyMap<string, number> {
  const errors = new Map<string, number>();
  const add = (file: string, count: number): void => {
    if (count > 0) errors.set(file, count + (errors.get(file) ?? 0));
  };
  const text = stripVTControlCharacters(output);
  let file = "";
  let unplaced = errorCount(text, report);
  for (
    const [line] of text.matchAll(/^(?:tests\/.*\.test\.ts:|# Unhandled error between tests)$/gm)
  ) {
    if (line.endsWith(":")) file = line.slice(0, -1);
    else if (unplaced > 0) {
      unplaced--;
      add(file, 1);
    }
  }
  add("", unplaced);
  return errors;
}

function errorCount(text: string, report: TestReport): number {
  // Tests may print anything: what Bun counted stands last, below the tests that passed.
  const counts = text.slice(text.search(/^ \d+ pass$(?![^]*^ \d+ pass$)/m));
  const ofBun = Number(/^ (\d+) errors?$/m.exec(counts)?.[1] ?? 0);
  const ofDeno = Number([...text.matchAll(/^FAILED \| .*?(\d+) failed/gm)].at(-1)?.[1] ?? 0);
  const failed = [...report.values()].reduce((sum, { failures }) => sum + failures.length, 0);
  return ofBun + Math.max(0, ofDeno - failed);
}

/** Names that a file declares with `test` or `it` and that no test of the report has. */
export function testsMissing(source: string, file: FileReport | undefined): string[] {
  const declared = Map.groupBy(declaredNames(source), (name) => name);
  return [...declared].flatMap(([name, places]) => {
    const pattern = new RegExp(`^${name.split(HOLE).map(RegExp.escape).join("[^]*")}$`);
    const ranCount = file?.names.filter((ran) => pattern.test(ran)).length ?? 0;
    return ranCount < places.length ? [name.replaceAll(HOLE, "…")] : [];
  });
}

const TEST_CASE = /<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/** Members of `test` that give a function which then declares the test. */
const CURRIED = /^(each|if|skipIf|todoIf|failingIf|concurrentIf|serialIf)$/;

/** Stands in a name for what is known only when the test is declared. */
const HOLE = "\u0000";

interface SyntaxNode {
  readonly type: string;
  readonly [field: string]: unknown;
}

function declaredNames(source: string): string[] {
  const transpiler = new Bun.Transpiler({ loader: "ts", deadCodeElimination: false });
  const names: string[] = [];
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (!isNode(node)) return;
    if (node.type === "CallExpression" && declaresTest(node)) names.push(nameOf(node));
    Object.values(node).forEach(visit);
  };
  visit(parse(transpiler.transformSync(source), { ecmaVersion: "latest", sourceType: "module" }));
  return names;
}

/** `test(…)`, `test.skip(…)` and `test.each(…)(…)`, but not the inner call of the last. */
function declaresTest(call: SyntaxNode): boolean {
  let callee = call["callee"];
  if (isNode(callee) && callee.type === "CallExpression") callee = callee["callee"];
  else if (isNode(callee) && isCurried(callee)) return false;
  while (isNode(callee) && callee.type === "MemberExpression") callee = callee["object"];
  return isNode(callee) && callee.type === "Identifier" && /^(test|it)$/.test(`${callee["name"]}`);
}

function isCurried(callee: SyntaxNode): boolean {
  const property = callee["property"];
  return isNode(property) && CURRIED.test(`${property["name"]}`);
}

/** Text of the first argument, with holes for what a template or `each` fills in. */
function nameOf(call: SyntaxNode): string {
  const [argument] = call["arguments"] as readonly SyntaxNode[];
  const isEach = (call["callee"] as SyntaxNode).type === "CallExpression";
  const fill = (text: string): string => isEach ? text.replace(/%.|\$\w+/g, HOLE) : text;
  if (argument?.type === "Literal") return fill(`${argument["value"]}`);
  if (argument?.type !== "TemplateLiteral") return HOLE;
  const quasis = argument["quasis"] as readonly { readonly value: { readonly cooked: string } }[];
  return quasis.map((quasi) => fill(quasi.value.cooked)).join(HOLE);
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && "type" in value;
}

function attribute(head: string, name: string): string | undefined {
  const escaped = new RegExp(`\\b${name}="([^"]*)"`).exec(head)?.[1];
  return escaped?.replace(
    /&(?:#(\d+)|(\w+));/g,
    (_, code, entity) => code ? String.fromCodePoint(Number(code)) : ENTITIES[entity] ?? "",
  );
}

const ENTITIES: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  amp: "&",
};
