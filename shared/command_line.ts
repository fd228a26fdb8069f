/** Reads the arguments of a command, the same way for every command, and shows its help. */

import { parseArgs } from "node:util";

/** One option of a command. */
export interface OptionSpec {
  /** Placeholder of the value; absent for a switch. */
  readonly value?: string;
  /** True when it may be left out, and is otherwise written after "=". */
  readonly isOptional?: boolean;
  /** The only values, or the first words of them; a shell completes them. */
  readonly values?: readonly string[];
  /** What else a shell completes its value with; files and folders where the placeholder says so. */
  readonly completes?: Completion;
  /** One letter that stands for it, after one dash. */
  readonly short?: string;
  /** May be given more than once; in its variable the values are joined by commas. */
  readonly isMultiple?: boolean;
  readonly help: string;
}

/** What only the moment tells: names of running managers, or of commands. */
export type Completion = "managers" | "commands" | "files" | "directories";

/** What a command takes, and what its help says. */
export interface CommandSpec {
  /** The word after `tendril`. */
  readonly name: string;
  readonly usage: string;
  /** One line, as in the list of commands. */
  readonly summary: string;
  readonly example: string;
  /** `{name without dashes: option}`; every command has `--help` besides. */
  readonly options: { readonly [name: string]: OptionSpec };
  /** What its arguments may be, for a shell to complete. */
  readonly operands?: Pick<OptionSpec, "values" | "completes">;
  /** True when each option may also be given as a variable, `TENDRIL_<NAME>`. */
  readonly hasVariables?: boolean;
  /** Lines of its help below the options. */
  readonly notes?: readonly string[];
  /** True when options end at the first argument that is none: what follows is a script's own. */
  readonly endsAtPositional?: boolean;
}

/** What a command was given. Options win over variables. */
export interface CommandArguments {
  readonly isHelp: boolean;
  readonly positionals: readonly string[];
  /** The value of an option, empty when it was left out; undefined when there is none. */
  text(name: string): string | undefined;
  /** All values of an option. */
  texts(name: string): readonly string[];
  /** True when a switch is on. */
  flag(name: string): boolean;
}

/** Exit code of a command that failed. */
export const EXIT_FAILURE = 1;

/** Exit code of a command whose arguments cannot be read. */
export const EXIT_USAGE = 2;

/** Arguments that cannot be read: the command ends with `EXIT_USAGE`. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * Reads `args`, and variables of `env` for what they do not state.
 *
 * @throws {UsageError} When an option is unknown, lacks its value or takes none.
 */
export function readArguments(
  spec: CommandSpec,
  args: readonly string[],
  env: { readonly [name: string]: string | undefined },
): CommandArguments {
  const end = spec.endsAtPositional === true ? endOfOptions(spec, args) : args.length;
  const options = Object.fromEntries(
    Object.entries(spec.options).map(([name, option]) => {
      const { short } = option;
      return [name, { type: typeOf(option), ...(short === undefined ? {} : { short }) }];
    }),
  );
  const { tokens } = parseArgs({
    args: args.slice(0, end),
    options: { ...options, help: { type: "boolean", short: "h" } },
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const given = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const value = checkOption(spec, token);
    given.set(token.name, [...given.get(token.name) ?? [], value]);
  }
  positionals.push(...args.slice(end));
  return new Given({ spec, env, given, positionals });
}

/** What `--help` shows. */
export function commandHelp(spec: CommandSpec): string {
  const options = Object.entries(spec.options).map(([name, option]) => {
    const { value, short, isOptional, help } = option;
    const names = short === undefined ? `--${name}` : `-${short}, --${name}`;
    const placeholder = isOptional === true ? `[=${value}]` : ` ${value}`;
    return `  ${names}${value === undefined ? "" : placeholder}`.padEnd(26) + help;
  });
  const summary = `${spec.summary[0]?.toUpperCase()}${spec.summary.slice(1)}.`;
  const lines = [`Usage: ${spec.usage}`, "", summary, "", ...options];
  lines.push("  --help".padEnd(26) + "show this text", "");
  if (spec.hasVariables === true) {
    const names = Object.keys(spec.options);
    const name = names.find((option) => option.includes("-")) ?? names[0] ?? "help";
    lines.push(`An option may also be given as a variable: --${name} as ${variableOf(name)}.`, "");
  }
  if (spec.notes !== undefined) lines.push(...spec.notes, "");
  return [...lines, `Example: ${spec.example}`, ""].join("\n");
}

/** Refuses more arguments than `most`. */
export function checkPositionals(
  spec: CommandSpec,
  positionals: readonly string[],
  most: number,
): void {
  const extra = positionals[most];
  if (extra === undefined) return;
  throw new UsageError(
    `Cannot take "${extra}" as an argument of ${spec.name}: expected ${spec.usage}`,
  );
}

class Given implements CommandArguments {
  readonly positionals: readonly string[];
  readonly #spec: CommandSpec;
  readonly #env: { readonly [name: string]: string | undefined };
  /** `{option: its values, in the order in which they came}`; a switch has empty ones. */
  readonly #given: ReadonlyMap<string, readonly string[]>;

  constructor({ spec, env, given, positionals }: {
    readonly spec: CommandSpec;
    readonly env: { readonly [name: string]: string | undefined };
    readonly given: ReadonlyMap<string, readonly string[]>;
    readonly positionals: readonly string[];
  }) {
    this.#spec = spec;
    this.#env = env;
    this.#given = given;
    this.positionals = positionals;
  }

  get isHelp(): boolean {
    return this.#given.has("help");
  }

  text(name: string): string | undefined {
    return this.#given.get(name)?.at(-1) ?? this.#variable(name);
  }

  texts(name: string): readonly string[] {
    return this.#given.get(name) ??
      this.#variable(name)?.split(",").filter((value) => value !== "") ?? [];
  }

  flag(name: string): boolean {
    if (this.#given.has(name)) return true;
    const value = this.#variable(name) ?? "";
    if (["1", "true"].includes(value)) return true;
    if (["", "0", "false"].includes(value)) return false;
    throw new UsageError(`Cannot read ${variableOf(name)} "${value}" as a switch: expected 1 or 0`);
  }

  /** An empty variable is one that is not set. */
  #variable(name: string): string | undefined {
    return this.#spec.hasVariables === true ? this.#env[variableOf(name)] || undefined : undefined;
  }
}

/** The value of an option that may be given as it is; empty for a switch. */
function checkOption(
  spec: CommandSpec,
  token: {
    readonly name: string;
    readonly rawName: string;
    readonly value?: string | undefined;
    readonly inlineValue?: boolean | undefined;
  },
): string {
  const { name, rawName, value, inlineValue } = token;
  const isKnown = name === "help" || Object.hasOwn(spec.options, name);
  if (!isKnown) {
    const names = [...Object.keys(spec.options), "help"].map((known) => `--${known}`);
    throw new UsageError(
      `Cannot take "${rawName}" as an option of ${spec.name}: expected ${names.join(", ")}`,
    );
  }
  const { value: placeholder, isOptional } = spec.options[name] ?? {};
  if (isOptional === true) return value ?? "";
  if (placeholder === undefined) {
    if (value === undefined) return "";
    throw new UsageError(`Cannot take "${value}" as the value of ${rawName}: it takes none`);
  }
  // "--cores --single" forgot a value; "--name=-x" did not, and "--cores -1" has a wrong one.
  // A dash alone is stdin or stdout.
  if (value === undefined || (/^-[^\d.]/.test(value) && inlineValue !== true)) {
    throw new UsageError(
      `Cannot read ${rawName} without its value: expected ${rawName} ${placeholder}`,
    );
  }
  return value;
}

/** Index of the first argument that is neither an option nor the value of one. */
function endOfOptions(spec: CommandSpec, args: readonly string[]): number {
  let index = 0;
  while (index < args.length) {
    const argument = args[index] ?? "";
    if (!argument.startsWith("-")) return index;
    const option = spec.options[argument.slice(2)];
    index += option === undefined || typeOf(option) === "boolean" ? 1 : 2;
  }
  return args.length;
}

/** Options of a "boolean" type take no further argument. */
function typeOf({ value, isOptional }: OptionSpec): "string" | "boolean" {
  return value === undefined || isOptional === true ? "boolean" : "string";
}

function variableOf(name: string): string {
  return `TENDRIL_${name.toUpperCase().replaceAll("-", "_")}`;
}
