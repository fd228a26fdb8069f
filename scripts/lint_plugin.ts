/**
 * Lint rules that hold the project to its layout: who may import whom, purity of both cores, where
 * a runtime may be named, named exports, lengths and file names. `deno lint` loads it through
 * `lint.plugins` of deno.json. Scripts and tests may import anything and may be long.
 *
 * @module
 */

/** Repository root, with a trailing slash. */
const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname);

const FILE_LINES_MAX = 600;
const FUNCTION_LINES_MAX = 70;

/** A part of the product that the layout draws as one box. */
type Zone =
  | "shared/"
  | "manager/core/"
  | "manager/providers/"
  | "manager/{monitoring,dashboard}/"
  | "manager/dataflow/"
  | "manager/*.ts"
  | "manager/cli.ts"
  | "worker/core/"
  | "worker/*.ts"
  | "worker/cli.ts"
  | "mod.ts";

/** `[paths from the root, their zone]`; the first that matches counts. */
const ZONES: readonly (readonly [RegExp, Zone])[] = [
  [/^shared\//, "shared/"],
  [/^manager\/core\//, "manager/core/"],
  [/^manager\/providers\//, "manager/providers/"],
  [/^manager\/(monitoring|dashboard)\//, "manager/{monitoring,dashboard}/"],
  [/^manager\/dataflow\//, "manager/dataflow/"],
  [/^manager\/cli(_[a-z0-9_]+)?\.ts$/, "manager/cli.ts"],
  [/^manager\//, "manager/*.ts"],
  [/^worker\/core\//, "worker/core/"],
  [/^worker\/cli(_[a-z0-9_]+)?\.ts$/, "worker/cli.ts"],
  [/^worker\//, "worker/*.ts"],
  [/^mod\.ts$/, "mod.ts"],
];

/** What each zone may import besides itself: the arrows of the layout, followed to their ends. */
const MAY_IMPORT: Readonly<Record<Zone, readonly Zone[]>> = {
  "shared/": [],
  "manager/core/": ["shared/"],
  "manager/providers/": ["shared/"],
  "manager/{monitoring,dashboard}/": ["shared/", "manager/core/"],
  "manager/*.ts": [
    "shared/",
    "manager/core/",
    "manager/providers/",
    "manager/{monitoring,dashboard}/",
  ],
  "manager/dataflow/": ["shared/", "manager/core/", "manager/providers/", "manager/*.ts"],
  "manager/cli.ts": [
    "shared/",
    "manager/core/",
    "manager/providers/",
    "manager/{monitoring,dashboard}/",
    "manager/*.ts",
    "manager/dataflow/",
  ],
  "worker/core/": ["shared/"],
  "worker/*.ts": ["shared/", "worker/core/"],
  "worker/cli.ts": ["shared/", "worker/core/", "worker/*.ts"],
  "mod.ts": ZONES.map(([, zone]) => zone),
};

/** All that the readers of the manager's facts may know of its core, and only as types. */
const EVENT_TYPES = /^manager\/core\/(event|fact)\.ts$/;

/** Files outside the layout that product code may import: the version stands there. */
const OUTSIDE = /^package\.json$/;

/** Where a module may be imported whose name is not known until run time: users' own code. */
const MAY_IMPORT_COMPUTED = /^(shared\/runtime|worker\/library)\//;

const IS_CORE = /^(manager|worker)\/core\//;

/** Modules of shared/ that both cores may run: they are held to the same purity. */
const PURE_SHARED = new RegExp(
  "^shared/(assert|backoff|cache_name|errors|file|heap|ids|library|ordered_queue|protocol|random|" +
    "resources|task|units)\\.ts$",
);

/** Globals that give the same answer on every host, at every time. */
const PURE_GLOBALS: ReadonlySet<string> = new Set(
  ("Array ArrayBuffer BigInt BigInt64Array BigUint64Array Boolean DataView Float32Array " +
    "Float64Array Infinity Int16Array Int32Array Int8Array Iterator JSON Map Math NaN Number " +
    "Object RegExp Set String Symbol TextDecoder TextEncoder Uint16Array Uint32Array Uint8Array " +
    "Uint8ClampedArray WeakMap WeakSet Error AggregateError RangeError ReferenceError " +
    "SyntaxError TypeError decodeURIComponent encodeURIComponent isFinite isNaN parseFloat " +
    "parseInt structuredClone undefined").split(" "),
);

/** Never named in pure code, not even for something of its own, so that no shadow hides a use. */
const IMPURE_NAMES: ReadonlySet<string> = new Set(
  ("Bun Date Deno Function Promise WebSocket console crypto eval fetch globalThis performance " +
    "process queueMicrotask require setImmediate setInterval setTimeout").split(" "),
);

/** Methods whose result depends on the language of the host. */
const LOCAL_METHODS = /^(localeCompare|toLocale[A-Z].*)$/;

const NO_RUNTIME_RULE = /^(shared\/runtime|scripts|tests)\//;
const NO_LENGTH_RULE = /^(scripts|tests)\//;
const VAGUE_NAME = /^(utils?|helpers?|common|types?|misc)$/;
const SNAKE_CASE = /^[a-z0-9]+(_[a-z0-9]+)*$/;

const plugin: Deno.lint.Plugin = {
  name: "layout",
  rules: {
    "import-direction": { create: importDirection },
    "pure-core": { create: pureCore },
    "runtime-in-one-place": { create: runtimeInOnePlace },
    "named-exports": { create: namedExports },
    "length": { create: length },
    "file-name": { create: fileName },
  },
};

// The one default export of the project: `deno lint` takes a plugin in no other way.
export default plugin;

function importDirection(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  const file = fromRoot(context.filename);
  const zone = zoneOf(file);
  if (!zone) return {};

  const check = (node: Deno.lint.Node, specifier: string, isType: boolean): void => {
    const target = resolve(specifier, context.filename);
    if (target === undefined || OUTSIDE.test(target)) return;
    const targetZone = zoneOf(target);
    const report = (why: string): void =>
      context.report({ node, message: `Cannot import "${target}" in "${file}": ${why}` });
    if (!targetZone) return report("product code imports nothing outside the layout");
    if (targetZone === zone) return;
    if (!MAY_IMPORT[zone].includes(targetZone)) {
      return report(`${zone} may import ${MAY_IMPORT[zone].join(", ") || "only itself"}`);
    }
    if (zone !== "manager/{monitoring,dashboard}/" || targetZone !== "manager/core/") return;
    if (!isType || !EVENT_TYPES.test(target)) report(`${zone} knows the types of events only`);
  };
  const computed = (node: Deno.lint.Node): void => {
    if (MAY_IMPORT_COMPUTED.test(file)) return;
    context.report({ node, message: "Cannot import a computed name here: write it as a literal" });
  };

  return {
    ...visitImports(check),
    ImportExpression(node) {
      const specifier = textOf(node.source);
      specifier === undefined ? computed(node) : check(node, specifier, false);
    },
    CallExpression(node) {
      const callee = context.sourceCode.getText(node.callee);
      if (!/^(require|import\.meta\.(require|resolve))$/.test(callee)) return;
      const specifier = textOf(node.arguments[0]);
      specifier === undefined ? computed(node) : check(node, specifier, false);
    },
    // The way to name a module that a thread or a child process runs.
    NewExpression(node) {
      const [path, base] = node.arguments;
      if (context.sourceCode.getText(node.callee) !== "URL" || !base) return;
      const specifier = textOf(path);
      if (context.sourceCode.getText(base) !== "import.meta.url") return;
      if (specifier?.endsWith(".ts")) check(node, specifier.replace(/^(?!\.)/, "./"), false);
    },
  };
}

function pureCore(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  const file = fromRoot(context.filename);
  if (!IS_CORE.test(file) && !PURE_SHARED.test(file)) return {};
  const report = (node: Deno.lint.Node, found: string): void =>
    context.report({ node, message: `Pure code is synchronous and deterministic: no ${found}` });
  const checkAsync = (node: Deno.lint.Node & { async: boolean }): void => {
    if (node.async) report(node, "'async'");
  };

  return {
    ...visitImports((node, specifier, isType) => {
      if (isType) return;
      const target = resolve(specifier, context.filename);
      if (target === undefined) return report(node, `package or built-in module "${specifier}"`);
      if (IS_CORE.test(target) || PURE_SHARED.test(target)) return;
      report(
        node,
        `"${target}", which is not held to be pure (see PURE_SHARED of the lint plugin)`,
      );
    }),
    ...visitGlobals((node) => {
      if (PURE_GLOBALS.has(node.name)) return;
      report(node, `'${node.name}'`);
    }),
    MemberExpression(node) {
      const name = memberName(node);
      if (name !== undefined && LOCAL_METHODS.test(name)) report(node, `'${name}'`);
      if (name === "random" && isNamed(node.object, "Math")) report(node, "'Math.random'");
    },
    Identifier(node) {
      if (node.name !== "Math" || !isReference(node)) return;
      // Any other use could hand on `Math.random` under another name.
      const isRead = node.parent.type === "MemberExpression" && node.parent.object === node &&
        memberName(node.parent) !== undefined;
      if (!isRead) report(node, "'Math' but to call one of its functions");
    },
    FunctionDeclaration: checkAsync,
    FunctionExpression: checkAsync,
    ArrowFunctionExpression: checkAsync,
    AwaitExpression: (node) => report(node, "'await'"),
    ForOfStatement: (node) => node.await && report(node, "'for await'"),
    VariableDeclaration: (node) => node.kind === "await using" && report(node, "'await using'"),
    ImportExpression: (node) => report(node, "'import()'"),
    MetaProperty(node) {
      if (node.meta.name === "import") report(node, "'import.meta'");
    },
  };
}

function runtimeInOnePlace(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  const file = fromRoot(context.filename);
  if (!zoneOf(file)) return {};
  const mayName = NO_RUNTIME_RULE.test(file);
  const isBun = (specifier: string): boolean => /^bun(:|$)/.test(specifier);
  const isRuntime = (name: string | undefined): boolean => name === "Bun" || name === "Deno";
  const report = (node: Deno.lint.Node): void =>
    context.report({ node, message: "Cannot name a runtime outside shared/runtime/" });

  const imports = visitImports((node, specifier, isType) => {
    if (!isBun(specifier)) return;
    if (!mayName) return report(node);
    if (isType) return;
    context.report({
      node,
      message: `A static import of "${specifier}" breaks Deno: use import()`,
    });
  });
  if (mayName) return imports;
  return {
    ...imports,
    ImportExpression: (node) => isBun(textOf(node.source) ?? "") && report(node),
    Identifier: (node) => isRuntime(node.name) && report(node),
    MemberExpression(node) {
      if (node.computed && isRuntime(memberName(node))) report(node);
      if (node.object.type !== "MemberExpression" || memberName(node.object) !== "versions") return;
      if (/^(bun|deno)$/.test(memberName(node) ?? "")) report(node);
    },
    BinaryExpression: (node) =>
      node.operator === "in" && isRuntime(textOf(node.left)) && report(node),
  };
}

function namedExports(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  if (fromRoot(context.filename) === "scripts/lint_plugin.ts") return {};
  const report = (node: Deno.lint.Node): void => context.report({ node, message: "Export a name" });
  return {
    ExportDefaultDeclaration: report,
    TSExportAssignment: report,
    ExportSpecifier(node) {
      const name = node.exported.type === "Identifier" ? node.exported.name : textOf(node.exported);
      if (name === "default") report(node);
    },
  };
}

function length(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  if (NO_LENGTH_RULE.test(fromRoot(context.filename))) return {};
  const check = (node: Deno.lint.Node, text: string, what: string, linesMax: number): void => {
    const lineCount = text.trimEnd().split("\n").length;
    if (lineCount <= linesMax) return;
    // A report spans what is wrong; one of a whole file would hide the message.
    const range: Deno.lint.Range = [node.range[0], node.range[0] + 1];
    context.report({ range, message: `${what} has ${lineCount} lines: at most ${linesMax}` });
  };
  const checkFunction = (node: FunctionNode): void => {
    const whole = node.parent.type === "MethodDefinition" ? node.parent : node;
    check(node, context.sourceCode.getText(whole), "Function", FUNCTION_LINES_MAX);
  };
  return {
    Program: (node) => check(node, context.sourceCode.text, "File", FILE_LINES_MAX),
    FunctionDeclaration: checkFunction,
    FunctionExpression: checkFunction,
    ArrowFunctionExpression: checkFunction,
    StaticBlock: checkFunction,
  };
}

function fileName(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  const parts = fromRoot(context.filename).split("/");
  return {
    Program(node) {
      const range: Deno.lint.Range = [node.range[0], node.range[0] + 1];
      for (const part of parts) {
        const stem = part.replace(/\.(test\.ts|d\.ts|[a-z]+)$/, "");
        if (VAGUE_NAME.test(stem)) {
          context.report({ range, message: `"${part}" says nothing: name what it holds` });
        } else if (!SNAKE_CASE.test(stem)) {
          context.report({ range, message: `"${part}" is not snake_case` });
        }
      }
    },
  };
}

type FunctionNode =
  | Deno.lint.FunctionDeclaration
  | Deno.lint.FunctionExpression
  | Deno.lint.ArrowFunctionExpression
  | Deno.lint.StaticBlock;

/** Calls back for every import, export and import type whose module is written in the file. */
function visitImports(
  visit: (node: Deno.lint.Node, specifier: string, isType: boolean) => void,
): Deno.lint.LintVisitor {
  return {
    // `import { type T }` without `import type` still runs the module, so it counts as a value.
    ImportDeclaration: (node) => visit(node, node.source.value, node.importKind === "type"),
    ExportAllDeclaration: (node) => visit(node, node.source.value, node.exportKind === "type"),
    ExportNamedDeclaration(node) {
      if (node.source) visit(node, node.source.value, node.exportKind === "type");
    },
    TSExternalModuleReference: (node) => visit(node, node.expression.value, false),
    TSImportType(node) {
      const specifier = node.argument.type === "TSLiteralType"
        ? textOf(node.argument.literal)
        : textOf(node.argument);
      if (specifier !== undefined) visit(node, specifier, true);
    },
  };
}

/** Calls back for every use of a name that the file does not declare, or must not. */
function visitGlobals(visit: (node: Deno.lint.Identifier) => void): Deno.lint.LintVisitor {
  const declared = new Set<string>();
  const used: Deno.lint.Identifier[] = [];
  const declare = (node: Deno.lint.Node | null): void => {
    for (const name of bindingsOf(node)) declared.add(name);
  };
  return {
    "VariableDeclarator": (node) => declare(node.id),
    "CatchClause": (node) => declare(node.param),
    "FunctionDeclaration, FunctionExpression, ArrowFunctionExpression"(
      node: Deno.lint.FunctionExpression,
    ) {
      declare(node.id ?? null);
      for (const parameter of node.params) {
        if (parameter.type !== "TSParameterProperty") declare(parameter);
      }
    },
    "ClassDeclaration, ClassExpression": (node: Deno.lint.ClassExpression) => declare(node.id),
    "ImportSpecifier, ImportDefaultSpecifier, ImportNamespaceSpecifier": (
      node: Deno.lint.ImportSpecifier,
    ) => declare(node.local),
    ":matches(Identifier)": (node: Deno.lint.Identifier) => isReference(node) && used.push(node),
    "Program:exit"() {
      for (const node of used) {
        if (IMPURE_NAMES.has(node.name) || !declared.has(node.name)) visit(node);
      }
    },
  };
}

/** Names that a pattern binds. */
function bindingsOf(node: Deno.lint.Node | null): string[] {
  switch (node?.type) {
    case "Identifier":
      return [node.name];
    case "ArrayPattern":
      return node.elements.flatMap(bindingsOf);
    case "ObjectPattern":
      return node.properties.flatMap((property) =>
        bindingsOf(property.type === "Property" ? property.value : property)
      );
    case "AssignmentPattern":
      return bindingsOf(node.left);
    case "RestElement":
      return bindingsOf(node.argument);
    default:
      return [];
  }
}

/** Whether an identifier stands for a value: it is no property, key, label or type. */
function isReference(node: Deno.lint.Identifier): boolean {
  const parent: Deno.lint.Node = node.parent;
  switch (parent.type) {
    case "MemberExpression":
      return parent.object === node || parent.computed;
    case "Property":
      return parent.value === node || parent.computed || parent.shorthand;
    case "MethodDefinition":
    case "PropertyDefinition":
      return parent.computed || parent.key !== node;
    case "ImportSpecifier":
    case "ExportSpecifier":
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
    case "MetaProperty":
      return false;
    default:
      return !parent.type.startsWith("TS") ||
        /^TS(As|Satisfies|NonNull|Instantiation)Expression$|^TSTypeAssertion$/.test(parent.type);
  }
}

function isNamed(node: Deno.lint.Node, name: string): boolean {
  return node.type === "Identifier" && node.name === name;
}

/** Name of the member that is read, when the text says it. */
function memberName(node: Deno.lint.MemberExpression): string | undefined {
  if (!node.computed && node.property.type === "Identifier") return node.property.name;
  return textOf(node.property);
}

/** Text of a string literal, or of a template that has no holes. */
function textOf(node: Deno.lint.Node | undefined): string | undefined {
  if (node?.type === "Literal" && typeof node.value === "string") return node.value;
  if (node?.type !== "TemplateLiteral" || node.expressions.length > 0) return undefined;
  return node.quasis[0]?.cooked;
}

/** Path from the root of what `specifier` names in `filename`; undefined for a package. */
function resolve(specifier: string, filename: string): string | undefined {
  if (specifier === "tendril") return "mod.ts";
  if (!/^(\.{0,2}\/|file:)/.test(specifier)) return undefined;
  const base = new URL(`file://${encodeURI(filename)}`);
  return fromRoot(decodeURIComponent(new URL(specifier, base).pathname));
}

function zoneOf(path: string): Zone | undefined {
  return ZONES.find(([paths]) => paths.test(path))?.[1];
}

function fromRoot(path: string): string {
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path;
}
