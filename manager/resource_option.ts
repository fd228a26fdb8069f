/** What workers offer and tasks ask for by names of the user's own: custom resources and features. */

import { CUSTOM_NAME_WANTED, type CustomResources, isCustomName } from "../shared/resources.ts";
import { count, type Reader, show } from "./option.ts";

/** More of something is a slip of the keyboard. */
const AMOUNT_MAX = 1_000_000_000;

/** `["avx512"]`, in their order. */
export const features: Reader<readonly string[]> = (value, what) => {
  if (Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "")) {
    return [...value].sort();
  }
  throw new TypeError(`Cannot take ${what} "${show(value)}" as features: expected ["name", …]`);
};

/** `{ license: 2 }`, in the order of the names and without amounts of 0. */
export const customResources: Reader<CustomResources> = (value, what) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`Cannot take ${what} "${show(value)}" as resources: expected { name: 1 }`);
  }
  const amounts = Object.entries(value).filter(([, amount]) => amount !== 0).sort();
  return Object.fromEntries(amounts.map(([name, amount]) => {
    if (!isCustomName(name)) {
      throw new TypeError(
        `Cannot take ${what} "${show(name)}" as a name: expected ${CUSTOM_NAME_WANTED}`,
      );
    }
    return [name, count(0, AMOUNT_MAX)(amount, `${what} "${name}"`)];
  }));
};
