/** The subcommand `internal-bundle` as a program, for tests: `bundle_entry.ts internal-bundle PATH [-]`. */

import { runBundle } from "../../shared/runtime/bundle.ts";

const [subcommand, ...args] = process.argv.slice(2);
process.exitCode = subcommand === "internal-bundle" ? await runBundle(args) : 2;
