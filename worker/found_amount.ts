/** An amount of a resource, and what said so. */

/** What was found. */
export interface FoundAmount {
  readonly amount: number;
  /** For a person: a variable, a file of the system. */
  readonly from: string;
}

/** The smallest of those that there are; the first of equal ones. */
export function leastFound(
  ...found: readonly (FoundAmount | undefined)[]
): FoundAmount | undefined {
  let least: FoundAmount | undefined;
  for (const candidate of found) {
    if (candidate === undefined) continue;
    if (least === undefined || candidate.amount < least.amount) least = candidate;
  }
  return least;
}
