/** The child of the bare messages in `bare_messages.ts`: sends back what it hears. */
import process from "node:process";

process.on("message", (message) => process.send?.(message));
