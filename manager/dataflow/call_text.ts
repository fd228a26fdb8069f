/** Calls as text for people: `align("a.fq", 7)`. */

import { AppFuture, DataFuture } from "./future.ts";
import { File } from "./file.ts";

/** Characters of all arguments together, and of one text. */
const ARGUMENTS_CHARS_MAX = 160;
const TEXT_CHARS_MAX = 60;

/** Items of an array, or properties, that are shown. */
const ITEMS_MAX = 4;

/** The arguments of a call on one line, shortened. */
export function argumentText(args: readonly unknown[]): string {
  let text = "";
  for (let index = 0; index < args.length; index++) {
    text += `${index === 0 ? "" : ", "}${valueText(args[index], 0)}`;
    if (text.length > ARGUMENTS_CHARS_MAX) return `${text.slice(0, ARGUMENTS_CHARS_MAX - 1)}…`;
  }
  return text;
}

function valueText(value: unknown, depth: number): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(
        value.length <= TEXT_CHARS_MAX ? value : `${value.slice(0, TEXT_CHARS_MAX - 1)}…`,
      );
    case "object":
      return value === null ? "null" : objectText(value, depth);
    case "function":
      return `function ${value.name}`;
    case "bigint":
      return `${value}n`;
    default:
      return String(value);
  }
}

function objectText(value: object, depth: number): string {
  if (value instanceof AppFuture) return `${value.app}#${value.id}`;
  if (value instanceof DataFuture) return `${value.parent.app}#${value.parent.id}.${value.output}`;
  if (value instanceof File) return JSON.stringify(value.name);
  if (Array.isArray(value)) {
    if (depth > 1) return `[${value.length}]`;
    const items = value.slice(0, ITEMS_MAX).map((item) => valueText(item, depth + 1));
    const more = value.length > ITEMS_MAX ? [`… ${value.length - ITEMS_MAX} more`] : [];
    return `[${[...items, ...more].join(", ")}]`;
  }
  const name: unknown = value.constructor?.name;
  if (name !== "Object") return typeof name === "string" ? name : "object";
  if (depth > 1) return "{…}";
  const entries = Object.entries(value);
  const shown = entries.slice(0, ITEMS_MAX).map(([key, item]) =>
    `${key}: ${valueText(item, depth + 1)}`
  );
  return `{${[...shown, ...(entries.length > ITEMS_MAX ? ["…"] : [])].join(", ")}}`;
}
