/** The options of a manager's doors, alike for every command that opens a manager. */

import { type CommandArguments, type OptionSpec, UsageError } from "../shared/command_line.ts";
import type { ManagerOptions } from "./config.ts";

/** What `run` and `manager` take. */
export const LISTEN_OPTIONS: { readonly [name: string]: OptionSpec } = {
  listen: {
    value: "HOST:PORT",
    help: "address to listen on, as :9123 for all; default 127.0.0.1:0",
  },
  advertise: {
    value: "HOST",
    isMultiple: true,
    help: "how others reach it, as HOST or HOST:PORT; repeatable",
  },
  insecure: { help: "do not encrypt connections of other hosts" },
  "tls-cert": { value: "FILE", help: "certificate in PEM; default: one is made" },
  "tls-key": { value: "FILE", help: "key of --tls-cert, in PEM" },
};

/**
 * The options of `Manager.start` that these state, unchecked.
 *
 * @throws {UsageError} When one is given without the other that it needs.
 */
export function readListenOptions(given: CommandArguments): ManagerOptions {
  const listen = given.text("listen");
  const advertise = given.texts("advertise").filter((address) => address !== "");
  const [cert, key] = [given.text("tls-cert"), given.text("tls-key")];
  if ((cert === undefined) !== (key === undefined)) {
    const [found, missing] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new UsageError(`Cannot use --tls-${found} without --tls-${missing}: both are wanted`);
  }
  return {
    ...(listen === undefined ? {} : { listen }),
    ...(advertise.length === 0 ? {} : { advertise }),
    ...(given.flag("insecure") ? { insecure: true } : {}),
    ...(cert === undefined || key === undefined ? {} : { tls: { cert, key } }),
  };
}
