/**
 * Runs a short workflow script in the compiled binary: `tendril run`, in a folder of its own. The
 * script is a function of the test, so that it stands beside what is expected of it and is checked
 * with it; it travels as its source, and uses nothing of the test but what it is given.
 */

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";
import { text } from "node:stream/consumers";

import { dirname, join } from "@std/path";

import type * as tendril from "../../../mod.ts";
import { markedEnvironment, untilGone } from "../../integration/scratch.ts";
import { BINARY, ROOT } from "../built.ts";
import type * as stage from "./stage.ts";

/** Longest time that a script may take. */
const RUN_MS_MAX = 100_000;

/** What a script has: the library, and `stage.ts`. */
export type Stage = typeof tendril & typeof stage;

/** How a script is run. */
export interface WorkflowOptions {
  /** Options of `tendril run`. */
  readonly args?: readonly string[];
  /** Arguments of the script. */
  readonly scriptArgs?: readonly string[];
  /** `{path from the folder of the script: what is there}` */
  readonly files?: { readonly [path: string]: string };
}

/** The end of a script. */
export interface WorkflowEnd<T> {
  /** What it returned, by way of JSON. */
  readonly report: T;
  /** What it, and Tendril, said on stderr. */
  readonly said: string;
}

/**
 * Runs `script` as a workflow, and sees that nothing of it stays behind.
 *
 * @returns What it returned, by way of JSON.
 * @throws {Error} When it fails or takes too long, with what it said.
 */
export async function runWorkflow<T>(
  script: (stage: Stage) => Promise<T>,
  options: WorkflowOptions = {},
): Promise<T> {
  return (await watchWorkflow(script, options)).report;
}

/** As `runWorkflow`, with what was said meanwhile. */
export async function watchWorkflow<T>(
  script: (stage: Stage) => Promise<T>,
  { args = [], scriptArgs = [], files = {} }: WorkflowOptions = {},
): Promise<WorkflowEnd<T>> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "tendril-test-")));
  const mark = randomUUID();
  try {
    const workflow = { "workflow.mjs": sourceOf(script), ...files };
    for (const [path, contents] of Object.entries(workflow)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), contents);
    }
    const child = spawn(BINARY, ["run", "--quiet", ...args, "workflow.mjs", ...scriptArgs], {
      cwd: folder,
      env: { ...process.env, TENDRIL_HOME: join(folder, "home"), ...markedEnvironment(mark) },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: RUN_MS_MAX,
      killSignal: "SIGKILL",
    });
    const ended = new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve(signal ?? `status ${code}`));
    });
    const [end, printed, said] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    await untilGone(mark);
    if (end !== "status 0") {
      throw new Error(`The workflow ended with ${end}; it said: ${printed}${said}`);
    }
    // What the script returned is what it says that it returns, less what JSON leaves out.
    return { report: JSON.parse(printed) as T, said };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A workflow script that prints what `script` returns. */
function sourceOf(script: (stage: Stage) => Promise<unknown>): string {
  const stagePath = join(ROOT, "tests/binary/behaviour/stage.ts");
  return `import * as tendril from "tendril";
import * as stage from ${JSON.stringify(stagePath)};
const script = ${script};
const report = await script({ ...tendril, ...stage });
await stage.workersEnded();
process.stdout.write(JSON.stringify(report ?? null));
`;
}
