/** Policies as the command line states them: `NAME=VALUE`. */

import { UsageError } from "../shared/command_line.ts";
import { type PolicyOptions, readPolicies } from "./config.ts";
import { DEFAULT_POLICIES, PLACEMENTS } from "./core/policy.ts";

/** How a shell begins one. */
export const POLICY_VALUES: readonly string[] = Object.entries(DEFAULT_POLICIES).flatMap(
  ([name, value]) => {
    const values = typeof value === "boolean" ? ["true", "false"] : [];
    const known = name === "placement" ? PLACEMENTS : values;
    return known.length === 0 ? [`${name}=`] : known.map((one) => `${name}=${one}`);
  },
);

/**
 * Reads policies; `option` is what they are values of, if not arguments.
 *
 * @throws {UsageError} When one is none, or unknown, or out of range.
 */
export function readPolicyArguments(
  texts: readonly string[],
  option: string = "",
): PolicyOptions & Readonly<Record<string, string | number | boolean>> {
  const policies: Record<string, string | number | boolean> = {};
  for (const text of texts) {
    const match = /^([A-Za-z][A-Za-z_-]*)=(.+)$/s.exec(text);
    if (match?.[1] === undefined || match[2] === undefined) {
      const shown = option === "" ? `"${text}"` : `${option} "${text}"`;
      throw new UsageError(`Cannot read ${shown} as a policy: expected NAME=VALUE`);
    }
    policies[match[1]] = readPolicyValue(match[2]);
  }
  try {
    readPolicies(policies, DEFAULT_POLICIES);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
  // Just checked.
  return policies as PolicyOptions & typeof policies;
}

function readPolicyValue(text: string): string | number | boolean {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
