/** A child's main, in place of the command line's hidden subcommand. */

import { runUnpackCommand } from "../../worker/unpack.ts";

process.exitCode = await runUnpackCommand(process.argv.slice(2));
