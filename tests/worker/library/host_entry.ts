/** The library host as a program, for tests: `host_entry.ts MODULE CONTEXT`. */

import * as tendril from "../../../shared/library_context.ts";
import { runLibraryHost } from "../../../worker/library/library_host.ts";

const [module = "", context = ""] = process.argv.slice(2);
await runLibraryHost({ module, context, loadTendril: () => Promise.resolve({ ...tendril }) });
