/** Options of apps that an executor honours: all others are refused, and not passed over. */

import type { AppTarget } from "./executor.ts";

/** Says of targets which option of theirs is not taken; each target is looked at once. */
export class OptionCheck {
  readonly #taken: ReadonlySet<string>;
  readonly #known: WeakMap<AppTarget, string> = new WeakMap();

  /** Takes the options of these names. */
  constructor(taken: readonly string[]) {
    this.#taken = new Set(taken);
  }

  /** As `Executor.refusal`. */
  refusal(target: AppTarget): string | undefined {
    let found = this.#known.get(target);
    if (found === undefined) {
      found = this.#find(target) ?? "";
      this.#known.set(target, found);
    }
    return found === "" ? undefined : `does not take option ${found}`;
  }

  #find({ process, call, environments }: AppTarget): string | undefined {
    const given = { ...process, ...call, environment: environments };
    const [name] = Object.entries(given).find(([name, value]) => {
      return !this.#taken.has(name) && !asksForNothing(value);
    }) ?? [];
    return name;
  }
}

function asksForNothing(value: unknown): boolean {
  if (value === undefined || value === 0) return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0 &&
    !(value instanceof Date);
}
