/** Runs a command of the manager in this process. */

import process from "node:process";

import type { Command } from "../../manager/cli_command.ts";
import { readArguments } from "../../shared/command_line.ts";

/** Runs it with these arguments; tells what it printed. Rejects as it does. */
export async function runCommand(
  { spec, run }: Command,
  args: readonly string[],
): Promise<{ status: number; stdout: string; stderr: string }> {
  const said = { stdout: "", stderr: "" };
  const streams = ["stdout", "stderr"] as const;
  const before = streams.map((name) => process[name].write);
  for (const name of streams) {
    process[name].write = ((text: string, written?: () => void) => {
      said[name] += text;
      written?.();
      return true;
    }) as typeof process.stdout.write;
  }
  try {
    const status = await run({ spec, given: readArguments(spec, args, {}), library: {} });
    return { status, ...said };
  } finally {
    for (const [index, name] of streams.entries()) {
      const write = before[index];
      if (write !== undefined) process[name].write = write;
    }
  }
}
