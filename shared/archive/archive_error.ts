/** The failure of packing or unpacking a tree, which always says what was at fault. */

/** Characters of a name shown in a message: names come from outside and may be of any length. */
const NAME_SHOWN_MAX = 200;

/** Thrown when an archive or a tree cannot be read, written or trusted. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
  /** The entry at fault, as the archive spells it; undefined when no single entry is. */
  readonly entry: string | undefined;

  constructor(message: string, options: { entry?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.entry = options.entry;
  }
}

/** Returns `name` quoted for a message: control characters escaped, a long one cut in its middle. */
export function quoteName(name: string): string {
  if (name.length <= NAME_SHOWN_MAX) return JSON.stringify(name);
  const half = NAME_SHOWN_MAX / 2;
  return `${JSON.stringify(name.slice(0, half))}…${JSON.stringify(name.slice(-half))}`;
}
