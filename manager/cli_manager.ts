/** `tendril manager`: a manager that outlives its clients. It holds all in memory. */

import process from "node:process";

import { checkPositionals } from "../shared/command_line.ts";
import { guardProcess } from "../shared/runtime/process_guard.ts";
import type { Call, Command } from "./cli_command.ts";
import { dashboardLine } from "./cli_dashboard.ts";
import { MANAGER_OPTIONS, readManagerArguments } from "./cli_options.ts";
import { Manager } from "./manager.ts";

/** Clients and workers that name no manager find it as the only one that runs. */
const NAME_DEFAULT = "default";

/** Its line in the table of commands. */
export const MANAGER_COMMAND: Command = {
  spec: {
    name: "manager",
    usage: "tendril manager [options]",
    summary: "run a manager that takes tasks from other terminals until it is interrupted",
    example: "tendril manager --name demo &",
    options: {
      name: {
        value: "NAME",
        help: `by which workers and clients find it; default "${NAME_DEFAULT}"`,
      },
      workers: { value: "N", help: "local workers to start; default none" },
      ...MANAGER_OPTIONS,
      quiet: { help: "do not say how to reach it" },
    },
    hasVariables: true,
  },
  run,
};

async function run({ spec, given }: Call): Promise<number> {
  checkPositionals(spec, given.positionals, 0);
  // Before there is a secret in memory; where it cannot be had, a manager is as others are.
  await guardProcess();
  const manager = await Manager.start({ name: NAME_DEFAULT, ...readManagerArguments(given) });
  const { name, address } = manager;
  if (!given.flag("quiet")) {
    process.stderr.write(
      `manager "${name}" at ${address}; workers: tendril worker --name ${name}; ` +
        `tasks: tendril submit --name ${name} -- COMMAND\n` +
        (dashboardLine(manager, process.stderr.isTTY === true) ?? ""),
    );
  }
  // What ends it is a signal, which closes it and then the process: open_managers.ts.
  return await new Promise<never>(() => {});
}
