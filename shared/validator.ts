/** How contents are named in `ETag` and `If-Match`, so that no transfer goes on with other ones. */

import type { CacheName } from "./ids.ts";

/** Contents as far as they are known. */
export interface NamedContents {
  readonly name: CacheName;
  readonly generation: number;
  /** SHA-256 in hexadecimal; empty when not known. */
  readonly digest: string;
  readonly isDirectory: boolean;
}

/**
 * A strong validator (RFC 9110, section 8.8.1): the digest; where that is not known, name and
 * generation, which stand for one content. Of a directory without a digest there is none, and this
 * is empty: its entries may change while its name does not.
 */
export function validatorOf({ name, generation, digest, isDirectory }: NamedContents): string {
  if (digest !== "") return `"${digest}"`;
  return isDirectory ? "" : `"${name}/${generation}"`;
}

/** The validator by which `ifMatch`, of a request, asks for `contents`; undefined when for others. */
export function matchedValidator(ifMatch: string, contents: NamedContents): string | undefined {
  const known = [validatorOf(contents)];
  // Who began when the digest was not known goes on by the name, where it is known too.
  if (!contents.isDirectory) known.push(validatorOf({ ...contents, digest: "" }));
  if (ifMatch.trim() === "*") return known[0];
  const asked = ifMatch.split(",").map((tag) => tag.trim());
  return known.find((tag) => tag !== "" && asked.includes(tag));
}
