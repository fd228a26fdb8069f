/** The version of this program, as `tendril version` and every hello say it. */

import packageFile from "../package.json" with { type: "json" };

/** As in package.json. */
export const VERSION: string = packageFile.version;
