/** A child's main, in place of the command line's hidden subcommand. */

import { runHashCommand } from "../../worker/hash_tree.ts";

process.exitCode = await runHashCommand(process.argv.slice(2));
