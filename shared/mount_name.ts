/** The names under which files appear in a task's sandbox. */

import { findPathFault } from "./relative_path.ts";

/** UTF-8 bytes of a mount: leaves room for the path of the sandbox in front of it. */
export const MOUNT_BYTES_MAX = 1_024;
/** Parts of a mount. */
export const MOUNT_DEPTH_MAX = 32;
/** First part of the paths in a sandbox that are the worker's own; no mount begins with it. */
export const RESERVED_PREFIX = ".tendril";

/**
 * Returns `text` when it may be a mount: a relative path in normal form, not one of the worker's own.
 *
 * Throws `RangeError` saying what is wrong otherwise.
 */
export function checkMountName(text: string): string {
  const limits = { pathBytesMax: MOUNT_BYTES_MAX, pathDepthMax: MOUNT_DEPTH_MAX };
  let fault = findPathFault(text, limits);
  if (fault === undefined && text.startsWith(RESERVED_PREFIX)) {
    fault = `names that begin with "${RESERVED_PREFIX}" are reserved`;
  }
  if (fault === undefined) return text;
  const shown = JSON.stringify(text.slice(0, MOUNT_BYTES_MAX));
  throw new RangeError(`Cannot use name ${shown} as a mount: ${fault}`);
}
