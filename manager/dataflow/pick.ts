/** The app behind `AppFuture.get`, for values that are elsewhere. */

import { type Recipe, recipeOf, valueBody } from "./recipe.ts";

const get = (value: { readonly [key: string]: unknown }, key: string | number): unknown => {
  if (value !== undefined && value !== null) return value[key];
  throw new TypeError(`Cannot get "${key}" of ${value}`);
};

/** What is at a key of a value. */
export const PICK: Recipe = recipeOf(valueBody(get, "get", {}), { name: "get", options: {} });
