/** The options of commands that open a manager: `run` and `manager`. */

import { type CommandArguments, type OptionSpec, UsageError } from "../shared/command_line.ts";
import { LISTEN_OPTIONS, readListenOptions } from "./cli_listen.ts";
import { POLICY_VALUES, readPolicyArguments } from "./cli_policy.ts";
import { readRunDirectoryArguments, RUN_DIRECTORY_OPTIONS } from "./cli_run_directory.ts";
import { type ManagerOptions, readManagerOptions } from "./config.ts";
import { mergeOptions, readConfigFile } from "./config_file.ts";

/** What both take. */
export const MANAGER_OPTIONS: { readonly [name: string]: OptionSpec } = {
  ...LISTEN_OPTIONS,
  policy: {
    value: "NAME=VALUE",
    isMultiple: true,
    values: POLICY_VALUES,
    help: "a policy; repeatable",
  },
  config: { value: "FILE", help: "options of Manager.start in TOML or JSON" },
  ...RUN_DIRECTORY_OPTIONS,
};

/**
 * The options of `Manager.start` that the command line states.
 *
 * @throws {UsageError} When one is wrong.
 */
export function readManagerArguments(given: CommandArguments): ManagerOptions {
  const [workers, name] = ["workers", "name"].map((option) => given.text(option));
  const config = given.text("config");
  const policies = given.texts("policy");
  const stated = {
    ...(workers === undefined ? {} : { workers: readWorkerCount(workers) }),
    ...(name === undefined ? {} : { name }),
    ...readListenOptions(given),
    ...readRunDirectoryArguments(given),
    ...(policies.length === 0 ? {} : { policies: readPolicyArguments(policies, "--policy") }),
  };
  try {
    const options = config === undefined ? stated : mergeOptions(stated, readConfigFile(config));
    readManagerOptions(options);
    return options;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function readWorkerCount(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError(`Cannot read --workers "${text}" as a number of workers`);
}
