/** The watcher's main alone, as the hidden subcommand runs it. */

import { runWatchCommand } from "../../worker/watcher.ts";

await runWatchCommand(process.argv.slice(2));
process.exit(0);
