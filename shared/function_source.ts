/**
 * A function as the source of a module of its own, for running it somewhere else by value.
 *
 * `toString` gives the text of a function and loses what is around it. So the text is parsed:
 * each name that the function uses must be its own, in the context given with it, or a global
 * of a worker. What only looks right here and fails there is refused here, with all its names.
 *
 * @module
 */

import { type Expression, parseExpressionAt } from "acorn";

import { type FreeNames, freeNamesOf } from "./free_names.ts";
import { ONE_CALL_EXPORT } from "./library_context.ts";
import { sourceOfValue } from "./value_source.ts";
import { WORKER_GLOBALS } from "./worker_global.ts";

/** Any function; what it takes and returns is not looked at. */
// A parameter list of `never` is what every function can be assigned to.
export type AnyFunction = (...args: never[]) => unknown;

/** Values and functions that a function uses by name. */
export type FunctionContext = { readonly [name: string]: unknown };

/** Functions by the names that they are called by. */
export type NamedFunctions = { readonly [name: string]: AnyFunction };

/** What `batchModule` declares beside the function. */
const BATCH_NAMES = ["each", "fold", "ended"];

/** What a module can export; source: ECMA-262, section 12.7. */
const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u;

/** `{name that a module with calls cannot export: why}` */
const NOT_EXPORTED: Readonly<Record<string, string>> = {
  then: "a module that exports it is taken for a promise",
  [ONE_CALL_EXPORT]: "it tells the host of a module how to serve it",
};

/** How Bun writes `import.meta` in the text of a function. */
const BUN_IMPORT_META = "$Bun_import_meta";

/** What the names in functions stand for. */
interface Surroundings {
  readonly context: FunctionContext;
  /** What the script calls that. */
  readonly contextName: "context" | "values";
  /** Names of the functions beside it in the module. */
  readonly beside: ReadonlySet<string>;
}

/** A function that was looked at. */
interface ParsedFunction {
  /** An expression that makes it. */
  readonly source: string;
  readonly free: FreeNames;
}

/**
 * Returns the source of an ECMAScript module that exports `fn` as `run`, with those entries of
 * `context` that it uses; functions of the context may use the others. As a library it runs each
 * call in a fresh process.
 *
 * @throws {TypeError} if the function, or one of its context, cannot be taken out of its place.
 */
export function functionModule(fn: AnyFunction, context: FunctionContext = {}): string {
  return moduleOf(fn, context, (name) => {
    return `export { ${name} as run, ${name} as ${ONE_CALL_EXPORT} };\n`;
  });
}

/**
 * Returns the source of a module that makes many calls of `fn` in one: `each(calls, stops)` with
 * the arguments of each, `fold(lists)` combines the values of each list, two at a time from the
 * left. Both return what became of them in order, as `[true, value]`, or `[false, name, message,
 * stack]` of what was thrown, after which `each` goes on unless `stops`.
 *
 * @throws {TypeError} if the function, or one of its context, cannot be taken out of its place.
 */
export function batchModule(fn: AnyFunction, context: FunctionContext = {}): string {
  return moduleOf(fn, context, (name) => {
    return `export async function each(calls, stops) {
  const ends = [];
  for (const call of calls) {
    const end = await ended(() => ${name}(...call));
    ends.push(end);
    if (stops && !end[0]) break;
  }
  return ends;
}
export async function fold(lists) {
  const ends = [];
  for (const list of lists) {
    ends.push(await ended(async () => {
      let value = list[0];
      for (const next of list.slice(1)) value = await ${name}(value, next);
      return value;
    }));
  }
  return ends;
}
async function ended(make) {
  try {
    return [true, await make()];
  } catch (error) {
    if (!(error instanceof Error)) return [false, "Error", String(error), ""];
    return [false, String(error.name), String(error.message), String(error.stack ?? "")];
  }
}
`;
  });
}

/**
 * Returns the source of a module that exports each of the functions under its name, with those
 * entries of `values` that they use. They may use each other, and functions among the values the
 * others; what a function keeps in a value is there for later calls of the same process. The text
 * is the same for the same functions and values, in whatever order they are given. Errors call the
 * values by `valuesName`.
 *
 * @throws {TypeError} if one, or a value that it uses, cannot be taken out of its place, or has a
 * name that a module cannot export.
 */
export function functionsModule(
  functions: NamedFunctions,
  values: FunctionContext = {},
  valuesName: Surroundings["contextName"] = "values",
): string {
  const { declared, names } = declareFunctions(functions, values, valuesName);
  const exported = names.map(({ name, own }) => own === name ? name : `${own} as ${name}`);
  return `${declared}export { ${exported.join(", ")} };\n`;
}

/**
 * The same functions as an expression: an object that has each of them under its name. It awaits, so
 * that it stands at the top level of a module.
 *
 * @throws {TypeError} As `functionsModule`.
 */
export function functionsExpression(
  functions: NamedFunctions,
  values: FunctionContext = {},
): string {
  const { declared, names } = declareFunctions(functions, values);
  const entries = names.map(({ name, own }) => `${JSON.stringify(name)}: ${own}`);
  return `await (async () => {\n${declared}return { ${entries.join(", ")} };\n})()`;
}

function declareFunctions(
  functions: NamedFunctions,
  values: FunctionContext,
  contextName: Surroundings["contextName"] = "values",
): {
  readonly declared: string;
  /** `own` is what a function is called where it is declared. */
  readonly names: readonly { readonly name: string; readonly own: string }[];
} {
  const names = Object.keys(functions).sort();
  const around: Surroundings = {
    context: values,
    contextName,
    beside: new Set(names),
  };
  const needed = new Map<string, string>();
  const parsed = names.map((name) => {
    checkExported(name);
    const main = parseFunction(functions[name], name);
    addContext(needed, main, { ...around, of: name });
    return { name, main };
  });
  const taken = new Set([...needed.keys(), ...WORKER_GLOBALS]);
  const lines: string[] = [];
  const owns: { name: string; own: string }[] = [];
  for (const { name, main } of parsed) {
    let own = name;
    while (taken.has(own) || (own !== name && around.beside.has(own)) || !isBinding(own)) {
      own += "_";
    }
    taken.add(own);
    lines.push(`const ${own} = ${main.source};\n`);
    owns.push({ name, own });
  }
  return { declared: `${constantsOf(needed)}${lines.join("")}`, names: owns };
}

function checkExported(name: string): void {
  const found = !IDENTIFIER.test(name)
    ? "it is no identifier"
    : Object.hasOwn(NOT_EXPORTED, name)
    ? NOT_EXPORTED[name]
    : undefined;
  if (found === undefined) return;
  throw new TypeError(`Cannot take "${name}" as the name of a function: ${found}`);
}

/** False for the words that no constant of a module can be named by. */
function isBinding(name: string): boolean {
  return parse(`((${name}) => 0)`)?.type === "ArrowFunctionExpression";
}

function moduleOf(
  fn: AnyFunction,
  context: FunctionContext,
  exportsOf: (name: string) => string,
): string {
  const main = parseFunction(fn, fn?.name);
  const needed = new Map<string, string>();
  const around: Surroundings = { context, contextName: "context", beside: new Set() };
  addContext(needed, main, { ...around, of: fn.name });
  const taken = new Set([...needed.keys(), ...main.free.names, ...BATCH_NAMES]);
  let name = "run";
  while (taken.has(name)) name += "_";
  return `${constantsOf(needed)}const ${name} = ${main.source};\n${exportsOf(name)}`;
}

function constantsOf(needed: ReadonlyMap<string, string>): string {
  return [...needed].map(([key, source]) => `const ${key} = ${source};\n`).join("");
}

/** Adds the context that `parsed` uses, and what that uses, to `needed`: `{name: its source}`. */
function addContext(
  needed: Map<string, string>,
  parsed: ParsedFunction,
  { of, ...around }: Surroundings & { readonly of: string },
): void {
  const { context, contextName, beside } = around;
  const missing: string[] = [];
  const functions: [string, ParsedFunction][] = [];
  for (const name of parsed.free.names) {
    if (needed.has(name)) continue;
    if (!Object.hasOwn(context, name)) {
      if (beside.has(name)) checkMeant(name, of);
      else if (!WORKER_GLOBALS.has(name)) missing.push(name);
      continue;
    }
    const value = context[name];
    if (typeof value !== "function") {
      needed.set(name, sourceOfValue(value, `${contextName}.${name}`));
      continue;
    }
    const helper = parseFunction(value, `${contextName}.${name}`);
    needed.set(name, helper.source);
    functions.push([name, helper]);
  }
  if (missing.length > 0) {
    const names = missing.map((name) => `"${name}"`).join(", ");
    throw refusal(of, `it uses ${names}, neither in its ${contextName} nor a global of a worker`);
  }
  for (const [name, helper] of functions) {
    addContext(needed, helper, { ...around, of: `${contextName}.${name}` });
  }
}

/** Where the function was written the name may be the global: which one is meant, nobody can say. */
function checkMeant(name: string, of: string): void {
  if (!WORKER_GLOBALS.has(name)) return;
  const found = `it uses "${name}", a function beside it and a global of a worker: rename that`;
  throw refusal(of, found);
}

function parseFunction(fn: unknown, name: string): ParsedFunction {
  if (typeof fn !== "function") {
    const place = name ? `${name}: ` : "";
    throw new TypeError(`Cannot send "${place}${String(fn)}" to a worker: expected a function`);
  }
  const text = Function.prototype.toString.call(fn);
  if (/\{\s*\[native code\]\s*\}$/.test(text)) throw refusal(name, "it is native or bound");
  const { source, expression } = expressionOf(text, name);
  if (expression.type === "ClassExpression") throw refusal(name, "it is a class");
  if (expression.type !== "ArrowFunctionExpression" && expression.type !== "FunctionExpression") {
    throw refusal(name, "its text is no function");
  }
  if (expression.generator) throw refusal(name, "it is a generator");
  const { names, bindings } = freeNamesOf(expression);
  const found = [...bindings, ...(names.has(BUN_IMPORT_META) ? ["import.meta"] : [])];
  if (found.length > 0) throw refusal(name, `it uses ${found.join(", ")}`);
  return { source, free: { names, bindings } };
}

/** A method's text is no expression: it becomes a function of the same parameters and body. */
function expressionOf(text: string, name: string): { source: string; expression: Expression } {
  const whole = parse(`(${text})`);
  if (whole !== undefined) return { source: `(${text})`, expression: whole };
  const object = parse(`({${text}})`);
  const property = object?.type === "ObjectExpression" ? object.properties[0] : undefined;
  if (property?.type === "Property") {
    if (property.kind !== "init") throw refusal(name, "it is an accessor");
    return methodOf(`({${text}})`, property.value, name);
  }
  const classed = parse(`(class {${text}})`);
  const member = classed?.type === "ClassExpression" ? classed.body.body[0] : undefined;
  if (member?.type === "MethodDefinition") {
    if (member.kind !== "method") throw refusal(name, "it is an accessor");
    return methodOf(`(class {${text}})`, member.value, name);
  }
  throw refusal(name, "its text cannot be parsed");
}

function methodOf(
  text: string,
  value: Expression,
  name: string,
): { source: string; expression: Expression } {
  if (value.type !== "FunctionExpression") throw refusal(name, "its text is no method");
  const keyword = `${value.async ? "async " : ""}function${value.generator ? "*" : ""} `;
  return { source: `(${keyword}${text.slice(value.start, value.end)})`, expression: value };
}

/** Returns the one expression that `text` is; undefined when it is something else. */
function parse(text: string): Expression | undefined {
  try {
    const expression = parseExpressionAt(text, 0, {
      ecmaVersion: "latest",
      sourceType: "module",
      // A method may use those of its class, and is refused for that by their names.
      checkPrivateFields: false,
    });
    return expression.end === text.length - 1 || expression.end === text.length
      ? expression
      : undefined;
  } catch {
    // Not an expression of this form; the caller tries another.
    return undefined;
  }
}

function refusal(name: string, found: string): TypeError {
  return new TypeError(`Cannot send function "${name || "anonymous"}" to a worker: ${found}`);
}
