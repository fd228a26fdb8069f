/**
 * The names that a function uses and does not declare, by the scopes of ECMAScript: what has
 * to be there when its source runs somewhere else.
 *
 * @module
 */

import type { Node } from "acorn";

/** What a function needs from where it was written. */
export interface FreeNames {
  /** In the order of their first use. */
  readonly names: ReadonlySet<string>;
  /**
   * Constructs that mean something else elsewhere: `this`, `super`, `import.meta`, a relative import,
   * a private name of the class around it.
   */
  readonly bindings: ReadonlySet<string>;
}

/** A node of any kind; acorn's types know each kind apart, a walk over all need not. */
type AnyNode = Node & { readonly [field: string]: unknown };

interface Scope {
  readonly names: Set<string>;
  readonly parent: Scope | undefined;
}

/** What the walk has found, and where it is. */
interface Walk {
  readonly names: Set<string>;
  readonly bindings: Set<string>;
}

/** True while `this` and `super` are those of the function itself. */
type OwnThis = boolean;

/** Returns what `node`, the expression of a function, needs from around it. */
export function freeNamesOf(node: Node): FreeNames {
  const walk: Walk = { names: new Set(), bindings: new Set() };
  visitFunction(walk, node as AnyNode, { names: new Set(), parent: undefined }, true);
  return walk;
}

function visit(walk: Walk, node: AnyNode, scope: Scope, isOwn: OwnThis): void {
  switch (node.type) {
    case "Identifier":
      return use(walk, node["name"] as string, scope);
    case "PrivateIdentifier": {
      const name = privateName(node);
      if (!isDeclared(name, scope)) walk.bindings.add(name);
      return;
    }
    case "ThisExpression":
    case "Super":
      if (isOwn) walk.bindings.add(node.type === "Super" ? "super" : "this");
      return;
    case "MetaProperty":
      if (nameOf(node["meta"]) === "import") walk.bindings.add("import.meta");
      return;
    case "ImportExpression": {
      const { value } = node["source"] as { value?: unknown };
      if (typeof value === "string" && /^\.\.?\//.test(value)) {
        walk.bindings.add(`import("${value}")`);
      }
      return visitFields(walk, node, scope, isOwn);
    }
    case "UnaryExpression":
      // `typeof` is how code asks whether a name is there.
      if (node["operator"] === "typeof" && isNode(node["argument"], "Identifier")) return;
      return visitFields(walk, node, scope, isOwn);
    case "FunctionDeclaration":
    case "FunctionExpression":
    case "ArrowFunctionExpression":
      return visitFunction(walk, node, scope, isOwn && node.type === "ArrowFunctionExpression");
    case "ClassDeclaration":
    case "ClassExpression":
      return visitClass(walk, node, scope, isOwn);
    case "BlockStatement":
    case "StaticBlock":
    case "SwitchStatement":
    case "ForStatement":
    case "ForInStatement":
    case "ForOfStatement":
    case "CatchClause":
      return visitFields(walk, node, newScope(scope, lexicalNames(node)), isOwn);
    default:
      return visitFields(walk, node, scope, isOwn);
  }
}

function visitFunction(walk: Walk, node: AnyNode, scope: Scope, isOwn: OwnThis): void {
  const inner = newScope(scope, []);
  const params = node["params"] as AnyNode[];
  for (const param of params) addPattern(inner.names, param);
  if (node.type !== "ArrowFunctionExpression") inner.names.add("arguments");
  if (node.type === "FunctionExpression" && node["id"]) addPattern(inner.names, node["id"]);
  const body = node["body"] as AnyNode;
  addVars(inner.names, body);
  for (const param of params) visit(walk, param, inner, isOwn);
  visit(walk, body, inner, isOwn);
}

/** Keys and the superclass belong to the outside, the rest has a `this` of its own. */
function visitClass(walk: Walk, node: AnyNode, scope: Scope, isOwn: OwnThis): void {
  const members = (node["body"] as AnyNode)["body"] as AnyNode[];
  const keys = members.flatMap(({ key }) => isNode(key, "PrivateIdentifier") ? [key] : []);
  const inner = newScope(scope, keys.map(privateName));
  if (node["id"]) addPattern(inner.names, node["id"]);
  if (isNode(node["superClass"])) visit(walk, node["superClass"], inner, isOwn);
  for (const member of members) {
    if (member.type === "StaticBlock") {
      const block = newScope(inner, []);
      for (const statement of member["body"] as AnyNode[]) addVars(block.names, statement);
      visit(walk, member, block, false);
      continue;
    }
    if (member["computed"]) visit(walk, member["key"] as AnyNode, inner, isOwn);
    if (isNode(member["value"])) visit(walk, member["value"], inner, false);
  }
}

/** Fields that hold names of something else than variables. */
function isLabelOrKey(node: AnyNode, field: string): boolean {
  if (field === "label") return true;
  if (field === "property") {
    const isPrivate = isNode(node["property"], "PrivateIdentifier");
    return node.type === "MemberExpression" && !node["computed"] && !isPrivate;
  }
  return field === "key" && !node["computed"];
}

function visitFields(walk: Walk, node: AnyNode, scope: Scope, isOwn: OwnThis): void {
  for (const [field, value] of Object.entries(node)) {
    if (isLabelOrKey(node, field)) continue;
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) visit(walk, item, scope, isOwn);
    } else if (isNode(value)) visit(walk, value, scope, isOwn);
  }
}

function use(walk: Walk, name: string, scope: Scope): void {
  if (!isDeclared(name, scope)) walk.names.add(name);
}

function isDeclared(name: string, scope: Scope): boolean {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    if (at.names.has(name)) return true;
  }
  return false;
}

/** No other name begins so. */
function privateName(node: AnyNode): string {
  return `#${node["name"]}`;
}

/** Names that a block, a loop or a catch clause declares for itself. */
function lexicalNames(node: AnyNode): Set<string> {
  const names = new Set<string>();
  const statements = node.type === "SwitchStatement"
    ? (node["cases"] as AnyNode[]).flatMap((each) => each["consequent"] as AnyNode[])
    : node.type === "BlockStatement" || node.type === "StaticBlock"
    ? node["body"] as AnyNode[]
    : [node["init"], node["left"], node["param"]].filter((each) => isNode(each));
  for (const statement of statements) {
    if (node.type === "CatchClause") addPattern(names, statement);
    else if (statement.type === "VariableDeclaration") addDeclared(names, statement);
    else if (/^(Function|Class)Declaration$/.test(statement.type)) {
      addPattern(names, statement["id"]);
    }
  }
  return names;
}

/** Adds what `var` declares below `node`, in the function that it is the body of. */
function addVars(names: Set<string>, node: AnyNode): void {
  if (/Function|^Class/.test(node.type)) return;
  if (node.type === "VariableDeclaration" && node["kind"] === "var") addDeclared(names, node);
  for (const value of Object.values(node)) {
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) addVars(names, item);
    } else if (isNode(value)) addVars(names, value);
  }
}

function addDeclared(names: Set<string>, declaration: AnyNode): void {
  for (const each of declaration["declarations"] as AnyNode[]) addPattern(names, each["id"]);
}

/** Adds the names that a pattern binds. */
function addPattern(names: Set<string>, pattern: unknown): void {
  if (!isNode(pattern)) return;
  switch (pattern.type) {
    case "Identifier":
      names.add(pattern["name"] as string);
      return;
    case "ObjectPattern":
      for (const each of pattern["properties"] as AnyNode[]) {
        addPattern(names, each["value"] ?? each);
      }
      return;
    case "ArrayPattern":
      for (const each of pattern["elements"] as unknown[]) addPattern(names, each);
      return;
    case "AssignmentPattern":
      return addPattern(names, pattern["left"]);
    case "RestElement":
      return addPattern(names, pattern["argument"]);
  }
}

function newScope(parent: Scope, names: Iterable<string>): Scope {
  return { parent, names: new Set(names) };
}

function isNode(value: unknown, type?: string): value is AnyNode {
  if (typeof value !== "object" || value === null || !("type" in value)) return false;
  return typeof value.type === "string" && (type === undefined || value.type === type);
}

function nameOf(value: unknown): string {
  return isNode(value, "Identifier") ? value["name"] as string : "";
}
