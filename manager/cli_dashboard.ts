/**
 * `tendril dashboard`: a fresh link to the dashboard of a running manager; and the line about it that
 * `run` and `manager` show at their start.
 *
 * With `--json` `{ version: 1, name, url, canAct }`.
 *
 * @module
 */

import { hostname } from "node:os";
import process from "node:process";

import { checkPositionals } from "../shared/command_line.ts";
import type { ClientConnection } from "./client.ts";
import { JSON_OPTION, shellQuote, TARGET_OPTIONS, withClient } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { CLIENT_VERSION } from "./client_protocol.ts";
import type { Manager } from "./manager.ts";

/** The command. */
export const DASHBOARD_COMMAND: Command = {
  spec: {
    name: "dashboard",
    usage: "tendril dashboard [--name NAME]",
    summary: "print a link that opens the dashboard in a browser",
    example: "tendril dashboard --name demo",
    options: { ...TARGET_OPTIONS, json: JSON_OPTION },
    notes: [
      "The link works once, within ten minutes; the browser then stays signed in for a week. With an",
      "access file that has a viewer's secret only, it lets look on and change nothing.",
      "",
      "A manager that listens on 127.0.0.1 of a far host is reached through a tunnel. On the computer",
      "with the browser, with the number in the link for PORT:",
      "",
      "  ssh -L PORT:127.0.0.1:PORT HOST",
      "",
      'Programs show a secret instead: curl -H "authorization: Bearer SECRET" URL/api/status',
    ],
  },
  run: dashboard,
};

/**
 * What `run` and `manager` say of the dashboard at their start; undefined when there is none.
 *
 * A link opens it for whoever has it, and what is no terminal may be a log that others read: there
 * stands only where it is.
 */
export function dashboardLine(
  manager: Pick<Manager, "name" | "address" | "hasDashboard" | "dashboardLink">,
  isTerminal: boolean,
): string | undefined {
  if (!manager.hasDashboard) return undefined;
  if (isTerminal) return `dashboard: ${manager.dashboardLink()}\n`;
  const { name, address } = manager;
  return `dashboard: ${address}/ (for a link: tendril dashboard --name ${shellQuote(name)})\n`;
}

async function dashboard(call: Call): Promise<number> {
  checkPositionals(call.spec, call.given.positionals, 0);
  return await withClient(call, (connection) => show(call, connection));
}

async function show({ given }: Call, connection: ClientConnection): Promise<number> {
  const { fragment, canAct } = await connection.ask({ kind: "dashboard" });
  const { name } = connection;
  const url = `${connection.url}/${fragment}`;
  if (given.flag("json")) return await printJson({ version: CLIENT_VERSION, name, url, canAct });
  await print(`${url}\n`);
  const { hostname: host, port } = new URL(url);
  // Whoever came by ssh has the browser elsewhere.
  if (process.env["SSH_CONNECTION"] !== undefined && host === "127.0.0.1") {
    process.stderr.write(
      `tendril dashboard: from your own computer, first: ssh -L ${port}:${host}:${port} ` +
        `${hostname()}\n`,
    );
  }
  return 0;
}
