/**
 * `tendril report`: the dashboard of a past run, from its records: served on loopback, written as one
 * page to send to somebody, or as JSON.
 *
 * With `--json` `{ version: 1, run, overview }`, of the shapes of manager/dashboard/api.ts.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { open, rm } from "node:fs/promises";
import process from "node:process";

import { basename, dirname, join, resolve } from "@std/path";
import { Hono } from "hono";

import { isOwnHost } from "../shared/addresses.ts";
import { checkPositionals, UsageError } from "../shared/command_line.ts";
import { replace } from "../shared/replace.ts";
import { refusal } from "../shared/runtime/request_limits.ts";
import { serve } from "../shared/runtime/serve.ts";
import { formatSize } from "../shared/units.ts";
import { JSON_OPTION } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import { API_VERSION } from "./dashboard/api.ts";
import { dashboardPage } from "./dashboard/page_bundle.ts";
import { answer } from "./dashboard/queries/answer.ts";
import { packReport } from "./dashboard/report_contents.ts";
import { reportPage } from "./dashboard/report_page.ts";
import { addDashboardRoutes } from "./dashboard/routes.ts";
import { Sessions } from "./dashboard/session.ts";
import { findRecords, openPastRun, type PastRun } from "./past_run.ts";
import { readRunDirectoryText } from "./records_option.ts";
import { LATEST_NAME } from "./run_directory.ts";

/** Points of the curves in the JSON document. */
const POINTS = 200;

/** The command. */
export const REPORT_COMMAND: Command = {
  spec: {
    name: "report",
    usage: "tendril report [options] [RUN]",
    summary: "show a past run, or write it as one page to send",
    example: "tendril report latest -o report.html",
    options: {
      output: { value: "FILE", short: "o", help: "write one page that needs nothing else" },
      json: JSON_OPTION,
      "run-directory": { value: "DIR", help: "where the runs are; default tendril-runs" },
    },
    operands: { values: [LATEST_NAME], completes: "files" },
    hasVariables: true,
    notes: [
      "RUN is latest, which is the default, a time such as 2026-11-22T02-45-10, the folder of a run,",
      "or a monitoring.db. The run may go on, or have been killed. Without -o or --json the",
      "dashboard's pages are served on 127.0.0.1 until Ctrl-C, to whoever has the link.",
      "",
      "A report holds commands, messages and the ends of what failed tasks wrote: see that whoever",
      "you send it to may read them.",
    ],
  },
  run: report,
};

async function report({ spec, given }: Call): Promise<number> {
  checkPositionals(spec, given.positionals, 1);
  const output = given.text("output");
  if (output === "") throw new UsageError('Cannot take "" as --output: expected a file');
  if (output !== undefined && given.flag("json")) {
    throw new UsageError("Cannot take --json with --output: expected one of them");
  }
  const stated = readRunDirectoryText(given.text("run-directory"));
  const [run = LATEST_NAME] = given.positionals;
  using past = openPastRun(findRecords(run, stated === false ? undefined : stated));
  if (given.flag("json")) return await printDocument(past);
  return output === undefined ? await serveRun(past) : await writeReport(past, output);
}

async function printDocument({ db }: PastRun): Promise<number> {
  return await printJson({
    version: API_VERSION,
    run: answer(db, { kind: "run" }),
    overview: answer(db, { kind: "overview", points: POINTS }),
  });
}

/** Writes beside the target and renames, so that there is a whole report or none. */
async function writeReport({ db }: PastRun, output: string): Promise<number> {
  const target = resolve(output);
  const html = reportPage(await dashboardPage(), packReport(db));
  const temporary = join(
    dirname(target),
    `.${basename(target)}.${randomBytes(6).toString("hex")}.tmp`,
  );
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(html);
      await file.sync();
    } finally {
      await file.close();
    }
    await replace(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot write report "${output}": ${reason}`, { cause: error });
  }
  return await print(`${target} (${formatSize(Buffer.byteLength(html))})\n`);
}

/** Serves until it is interrupted. */
async function serveRun({ db, path }: PastRun): Promise<number> {
  const sessions = new Sessions({ secrets: {} });
  const app = new Hono();
  app.use(async (context, next) => {
    if (isOwnHost(context.req.header("host"), new Set())) return await next();
    // A page whose name was made to point here (DNS rebinding) sends the name that it came by.
    return refusal(421, "This server does not go by that name");
  });
  const encoder = new TextEncoder();
  addDashboardRoutes(app, {
    sessions,
    isSecure: false,
    // Answers of other questions wait for this one; each takes less than a second.
    ask: async (question) => await encoder.encode(JSON.stringify(answer(db, question))),
    refuse: () => {},
  });
  const server = serve(app);
  try {
    const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<void>();
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const signal of signals) process.once(signal, interrupt);
    process.stderr.write(`tendril report: ${path}; Ctrl-C ends it; the link works once:\n`);
    await print(`http://127.0.0.1:${server.port}/#token=${sessions.newToken("look")}\n`);
    await interrupted;
    for (const signal of signals) process.off(signal, interrupt);
  } finally {
    await server.close();
  }
  return 0;
}
