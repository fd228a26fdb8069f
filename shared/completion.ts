/** What a shell may complete a command line of Tendril with, found from the commands themselves. */

import type { CommandSpec, Completion, OptionSpec } from "./command_line.ts";

/** A word that fits, and what it is about. */
export interface Candidate {
  readonly text: string;
  readonly help: string;
}

/** What fits, and what the shell, or whoever knows, has to find besides. */
export interface Completions {
  readonly candidates: readonly Candidate[];
  readonly rest?: Completion | undefined;
  /** Stands before each word of `rest`, as `--name=`. */
  readonly prefix: string;
}

/** A command as far as it can be completed. */
export type CompletedCommand =
  & Pick<CommandSpec, "name" | "summary">
  & Partial<Pick<CommandSpec, "options" | "operands" | "endsAtPositional">>;

const HELP: OptionSpec = { help: "show its options" };

const NOTHING: Completions = { candidates: [], prefix: "" };

/** Completes the last of `words`, which are those after `tendril` and may end with an empty one. */
export function complete(
  commands: readonly CompletedCommand[],
  words: readonly string[],
): Completions {
  const [name = "", ...args] = words;
  if (args.length === 0) return ofCommands(commands, name);
  const command = commands.find((one) => one.name === name);
  if (command === undefined) return NOTHING;
  const current = args.pop() ?? "";
  const { options = {}, operands = {} } = command;
  const { open, hasPositional, given } = readWords(command, args);
  if (open !== undefined) return ofValue(open, { current, prefix: "" });
  const isOver = hasPositional && command.endsAtPositional === true;
  if (isOver || !current.startsWith("-")) {
    if (operands.completes === "commands") return ofCommands(commands, current);
    return isOver ? { ...NOTHING, rest: "files" } : ofValue(operands, { current, prefix: "" });
  }
  const at = current.indexOf("=");
  if (at > 0) {
    const option = options[current.slice(2, at)];
    const prefix = current.slice(0, at + 1);
    return option === undefined ? NOTHING : ofValue(option, { current, prefix });
  }
  return ofOptions(options, { current, given });
}

/** What is said before the word that is completed. */
function readWords(
  { options = {}, endsAtPositional = false }: CompletedCommand,
  args: readonly string[],
): {
  /** The option whose value comes next. */
  readonly open: OptionSpec | undefined;
  readonly hasPositional: boolean;
  readonly given: ReadonlySet<string>;
} {
  const given = new Set<string>();
  let open: OptionSpec | undefined;
  let hasPositional = false;
  for (const word of args) {
    if (open !== undefined) {
      open = undefined;
      continue;
    }
    if (hasPositional && endsAtPositional) break;
    if (!word.startsWith("-") || word === "-") hasPositional = true;
    if (!word.startsWith("-")) continue;
    const [name = "", value] = word.replace(/^--?/, "").split("=", 2);
    const [long, option] = Object.entries(options).find(([known, { short }]) => {
      return word.startsWith("--") ? known === name : short === name;
    }) ?? [];
    if (long !== undefined) given.add(long);
    const takesNext = option?.value !== undefined && option.isOptional !== true;
    if (takesNext && value === undefined) open = option;
  }
  return { open, hasPositional, given };
}

function ofCommands(commands: readonly CompletedCommand[], current: string): Completions {
  const candidates = commands
    .filter(({ name }) => name.startsWith(current))
    .map(({ name, summary }) => ({ text: name, help: summary }));
  return { candidates, prefix: "" };
}

function ofOptions(
  options: { readonly [name: string]: OptionSpec },
  { current, given }: { readonly current: string; readonly given: ReadonlySet<string> },
): Completions {
  const all: [string, OptionSpec][] = [...Object.entries(options), ["help", HELP]];
  const candidates = all
    .filter(([name, { isMultiple }]) => isMultiple === true || !given.has(name))
    .map(([name, { help }]) => ({ text: `--${name}`, help }))
    .filter(({ text }) => text.startsWith(current));
  return { candidates, prefix: "" };
}

function ofValue(
  { value = "", values = [], completes }: Pick<OptionSpec, "value" | "values" | "completes">,
  { current, prefix }: { readonly current: string; readonly prefix: string },
): Completions {
  const candidates = values
    .map((one) => ({ text: prefix + one, help: "" }))
    .filter(({ text }) => text.startsWith(current));
  return { candidates, prefix, rest: completes ?? placeOf(value) };
}

/** What the placeholder says. */
function placeOf(placeholder: string): Completion | undefined {
  if (placeholder === "FILE") return "files";
  return placeholder === "DIR" ? "directories" : undefined;
}
