/** A file with options of `Manager.start`: TOML or JSON, of the names that scripts use. */

import { readFileSync } from "node:fs";

import { parse } from "smol-toml";

import type { ManagerOptions } from "./config.ts";

/** Longer than any list of options; what is longer was not meant. */
const CONFIG_CHARS_MAX = 1_000_000;

/**
 * What the file at `path` states; checked later, with what else is stated.
 *
 * @throws {RangeError} When it cannot be read, or is neither.
 */
export function readConfigFile(path: string): ManagerOptions {
  const format = /\.(toml|json)$/i.exec(path)?.[1]?.toLowerCase();
  if (format === undefined) {
    throw new RangeError(`Cannot read "${path}" as a configuration: expected .toml or .json`);
  }
  let found: unknown;
  try {
    const text = readFileSync(path, "utf8");
    if (text.length > CONFIG_CHARS_MAX) throw new Error(`it has ${text.length} characters`);
    found = format === "json" ? JSON.parse(text) : parse(text);
  } catch (cause) {
    // The parser's message shows the place in lines of their own.
    const [why] = (cause instanceof Error ? cause.message : String(cause)).split("\n");
    const what = `"${path}" as ${format.toUpperCase()}`;
    throw new RangeError(`Cannot read ${what}: ${why}`, { cause });
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) {
    throw new RangeError(`Cannot read "${path}" as a configuration: expected options by name`);
  }
  if ("config" in found) {
    throw new RangeError(`Cannot read "${path}": a configuration names no other one`);
  }
  return found;
}

/**
 * Options from several places, the foremost first: each is taken from the first that states it,
 * and each policy, category and record likewise.
 */
export function mergeOptions(...places: readonly ManagerOptions[]): ManagerOptions {
  let merged: ManagerOptions = {};
  for (const options of places) {
    const stated = Object.entries(options).filter(([, value]) => value !== undefined);
    const groups = {
      policies: { ...options.policies, ...merged.policies },
      category: { ...options.category, ...merged.category },
      records: { ...options.records, ...merged.records },
    };
    const kept = Object.entries(groups).filter(([, group]) => Object.keys(group).length > 0);
    merged = { ...Object.fromEntries(stated), ...merged, ...Object.fromEntries(kept) };
  }
  return merged;
}

/** `options` with those of the file that they name, where they state none. */
export function withConfigFile(options: ManagerOptions): ManagerOptions {
  const { config, ...given } = options;
  if (config === undefined) return given;
  if (typeof config === "string") return mergeOptions(given, readConfigFile(config));
  throw new TypeError(`Cannot take config of Manager.start "${config}" as a path`);
}
