/**
 * Series by names that users choose, of which there may be any number: those of the first few names
 * are told apart, so that what is kept and told stays small.
 *
 * @module
 */

/** Names with a series of their own. */
export const NAMES_MAX = 50;

/** Name of the series of all others. */
export const OTHER_NAME = "other";

/** Looks up the series of a name, and makes it when there is none. */
export function seriesByName<Series>(make: (name: string) => Series): (name: string) => Series {
  const known = new Map<string, Series>();
  const add = (name: string): Series => {
    const series = make(name);
    known.set(name, series);
    return series;
  };
  return (name) => {
    const found = known.get(name);
    if (found !== undefined) return found;
    if (known.size < NAMES_MAX) return add(name);
    return known.get(OTHER_NAME) ?? add(OTHER_NAME);
  };
}
