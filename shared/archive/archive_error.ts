/** The failure of packing or unpacking a tree, which always says what was at fault. */

/** Characters of a name shown in a message: names come from outside and may be of any length. */
const NAME_SHOWN_MAX = 200;

/** What is known of a failure. */
export interface ArchiveErrorOptions {
  readonly entry?: string;
  readonly isTooLarge?: boolean;
  /** Default: that of the cause. */
  readonly code?: string;
  readonly cause?: unknown;
}

/** Thrown when an archive or a tree cannot be read, written or trusted. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
  /** The entry at fault, as the archive spells it; undefined when no single entry is. */
  readonly entry: string | undefined;
  /** Whether an archive holds more bytes than it may. */
  readonly isTooLarge: boolean;
  /** What the system answered, such as "ENOSPC"; empty when it is not at fault. */
  readonly code: string;

  constructor(message: string, options: ArchiveErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.entry = options.entry;
    this.isTooLarge = options.isTooLarge ?? false;
    this.code = options.code ?? codeOf(options.cause);
  }
}

/** Returns the code of an error of the system, empty for any other. */
export function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** Returns `name` quoted for a message: control characters escaped, a long one cut in its middle. */
export function quoteName(name: string): string {
  if (name.length <= NAME_SHOWN_MAX) return JSON.stringify(name);
  const half = NAME_SHOWN_MAX / 2;
  return `${JSON.stringify(name.slice(0, half))}…${JSON.stringify(name.slice(-half))}`;
}

/** Returns the failure of an archive that holds more than `bytesMax` bytes, of which `entry` is one. */
export function tooLarge(bytesMax: number, entry?: string): ArchiveError {
  const where = entry === undefined ? "" : `, in entry ${quoteName(entry)}`;
  const message = `Cannot read the archive: it holds more than ${bytesMax} bytes${where}`;
  return new ArchiveError(message, { isTooLarge: true, ...(entry === undefined ? {} : { entry }) });
}
