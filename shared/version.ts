/** The version of this program, which stands in package.json alone. */

import manifest from "../package.json" with { type: "json" };

/** Version of Tendril, as `major.minor.patch`. */
export const VERSION: string = manifest.version;
