/**
 * Commands that show a table of a running manager, once or with `--watch` again and again: on a
 * terminal in place until `q` or Ctrl-C, with `--json` a document on a line of its own, elsewhere
 * below one another. What has not changed is not shown again.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";

import {
  checkPositionals,
  type CommandSpec,
  type OptionSpec,
  UsageError,
} from "../shared/command_line.ts";
import { plainJson } from "../shared/plain_text.ts";
import { QuitKeys } from "../shared/quit_keys.ts";
import { ScreenBlock } from "../shared/screen_block.ts";
import { standardOutput } from "../shared/terminal.ts";
import { command, OPTIONS } from "./cli_client.ts";
import { type Call, type Command, print, printJson } from "./cli_command.ts";
import type { ClientConnection } from "./client.ts";
import { outputSize, PIPE, type TableSize } from "./table.ts";

/** Between two looks, in seconds: as it is, and the bounds of what may be asked for. */
const SECONDS_DEFAULT = 1;
const SECONDS_MIN = 0.1;
const SECONDS_MAX = 86_400;

const WATCH_OPTION: OptionSpec = {
  value: "SECONDS",
  isOptional: true,
  help: `again when it has changed, until q or Ctrl-C; looks every ${SECONDS_DEFAULT} s`,
};

/** What is shown. */
export interface View {
  /** With `--json`. */
  readonly document: object;
  /** Lines, each with its end. */
  readonly text: (size: TableSize) => string;
}

/** A command that shows what `look` finds. */
export function viewCommand(
  spec: Omit<CommandSpec, "hasVariables">,
  look: (call: Call, connection: ClientConnection) => Promise<View>,
  check: (call: Call) => void = ({ spec, given }) => checkPositionals(spec, given.positionals, 0),
): Command {
  const options = { ...OPTIONS, ...spec.options, watch: WATCH_OPTION };
  return command({ ...spec, options }, async (call, connection) => {
    const seconds = readSeconds(call);
    const next = () => look(call, connection);
    if (seconds === undefined) return await showOnce(call, await next());
    return await showAgain(call, { next, pauseMs: seconds * 1_000 });
  }, (call) => {
    readSeconds(call);
    check(call);
  });
}

/** Undefined when it is shown once. */
function readSeconds({ given }: Call): number | undefined {
  const text = given.text("watch");
  if (text === undefined) return undefined;
  if (text === "") return SECONDS_DEFAULT;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds >= SECONDS_MIN && seconds <= SECONDS_MAX) return seconds;
  throw new UsageError(
    `Cannot read --watch "${text}" as seconds: expected ${SECONDS_MIN} to ${SECONDS_MAX}`,
  );
}

async function showOnce({ given }: Call, { document, text }: View): Promise<number> {
  if (given.flag("json")) return await printJson(document);
  return await print(text(outputSize()));
}

async function showAgain(
  { given }: Call,
  { next, pauseMs }: { readonly next: () => Promise<View>; readonly pauseMs: number },
): Promise<number> {
  const isJson = given.flag("json");
  const terminal = standardOutput();
  const isDrawn = terminal.isTTY && !isJson;
  let view = await next();
  using block = new ScreenBlock(terminal);
  const draw = (): void => {
    if (isDrawn) block.show(view.text(terminal).trimEnd().split("\n"));
  };
  using keys = new QuitKeys({ hasKeys: isDrawn, onMoved: draw });
  let shown = "";
  while (true) {
    const text = isJson ? `${plainJson(view.document)}\n` : view.text(PIPE);
    if (isDrawn) draw();
    else if (text !== shown) await print(isJson || shown === "" ? text : `\n${text}`);
    shown = text;
    const stop = new AbortController();
    const pause = delay(pauseMs, undefined, { signal: stop.signal }).catch(() => undefined);
    const exitCode = await Promise.race([keys.ended, pause]);
    stop.abort();
    if (exitCode !== undefined) return exitCode;
    const found = await Promise.race([keys.ended, next()]);
    if (typeof found === "number") return found;
    view = found;
  }
}
