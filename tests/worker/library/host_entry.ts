/** The library host as a program, for tests: `host_entry.ts MODULE CONTEXT CALL`. */

import * as tendril from "../../../shared/library_context.ts";
import { runLibraryHost } from "../../../worker/library/library_host.ts";

const [module = "", context = "", contextCall = ""] = process.argv.slice(2);
const loadTendril = () => Promise.resolve({ ...tendril });
await runLibraryHost({ module, context, contextCall, loadTendril });
