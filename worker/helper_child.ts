/**
 * Work in a process of its own, so that the control loop answers heartbeats meanwhile: a child of
 * this same program, which prints one answer and ends.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";

import { helperEnvironment } from "./task_environment.ts";

/**
 * Kept from the slowest of the runtime's compilers, a child takes a third less of the processor: it
 * lives no longer than that compiler takes.
 */
export const HELPER_VARIABLES: { readonly [name: string]: string } = { "BUN_JSC_useFTLJIT": "0" };

/** UTF-16 units of a child's answer, or of what it had to say when it failed, that are kept. */
const ANSWER_LENGTH_MAX = 64 * 1024;

/** Of what a child that failed had to say, so much is told. */
const COMPLAINT_LENGTH_MAX = 1000;

/** How a child is run. */
export interface HelperOptions {
  /** The worker's mark, by which the child is found should both be killed. */
  readonly mark: string;
  /** What it is for, as a verb: for errors. */
  readonly purpose: string;
  /** Kills it. */
  readonly signal?: AbortSignal | undefined;
}

/** How a child ended. */
export interface HelperEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  /** The end of what it wrote to its standard error. */
  readonly complaint: string;
}

/** Runs a child to its end; its standard input stays open until then. Throws when there is none. */
export async function runHelper(
  command: readonly string[],
  { mark, purpose, signal }: HelperOptions,
): Promise<HelperEnd> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd: "/",
    env: { ...helperEnvironment(process.env, mark), ...HELPER_VARIABLES },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const kill = (): void => {
    child.kill("SIGKILL");
  };
  signal?.addEventListener("abort", kill, { once: true });
  try {
    return await helperEnd(child, purpose);
  } finally {
    signal?.removeEventListener("abort", kill);
  }
}

/** How a child ended, in words. */
export function howEnded({ code, signal, complaint }: HelperEnd): string {
  return `it ended with ${signal === null ? `code ${code}` : `signal ${signal}`}. ${complaint}`
    .trimEnd();
}

async function helperEnd(child: ChildProcess, purpose: string): Promise<HelperEnd> {
  let output = "";
  let complaint = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    output = (output + chunk).slice(0, ANSWER_LENGTH_MAX);
  });
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    complaint = (complaint + chunk).slice(-ANSWER_LENGTH_MAX);
  });
  // It may die before its input is closed; how it died is told by its end.
  child.stdin?.on("error", () => {});
  return await new Promise<HelperEnd>((resolve, reject) => {
    child.once("error", (cause) => {
      const message = `Cannot start "${child.spawnfile}" to ${purpose}: ${cause.message}`;
      reject(new Error(message, { cause }));
    });
    child.once("close", (code, signal) => {
      child.stdin?.destroy();
      const kept = complaint.trim().slice(-COMPLAINT_LENGTH_MAX);
      resolve({ code, signal, output, complaint: kept });
    });
  });
}
