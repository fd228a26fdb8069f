/**
 * `tendril completions SHELL`: what a shell needs to complete command lines of Tendril. That is short
 * and stays as it is: it asks the program, by the hidden `internal-complete`, each time.
 *
 * `tendril internal-complete -- WORD...` prints `:none`, `:files` or `:directories`, which the shell
 * is to find besides, and then a line for each word that fits: the word, a tab, what it is about.
 *
 * @module
 */

import { listAccessFiles } from "../shared/access_file.ts";
import { checkPositionals, UsageError } from "../shared/command_line.ts";
import { type Candidate, complete, type CompletedCommand } from "../shared/completion.ts";
import { plainText } from "../shared/plain_text.ts";
import { type Call, type Command, print } from "./cli_command.ts";
import { BASH_SCRIPT, FISH_SCRIPT, ZSH_SCRIPT } from "./completion_scripts.ts";

/** Characters of what a word is about. */
const HELP_CHARS_MAX = 80;

const SCRIPTS: ReadonlyMap<string, string> = new Map([
  ["bash", BASH_SCRIPT],
  ["zsh", ZSH_SCRIPT],
  ["fish", FISH_SCRIPT],
]);

/** The command. */
export const COMPLETIONS_COMMAND: Command = {
  spec: {
    name: "completions",
    usage: "tendril completions bash|zsh|fish",
    summary: "print what a shell needs to complete commands, options and values",
    example: 'eval "$(tendril completions bash)"',
    options: {},
    operands: { values: [...SCRIPTS.keys()] },
    notes: [
      "To have it in every shell:",
      "  bash: tendril completions bash > ~/.local/share/bash-completion/completions/tendril",
      '  zsh:  tendril completions zsh > "${fpath[1]}/_tendril"',
      "  fish: tendril completions fish > ~/.config/fish/completions/tendril.fish",
    ],
  },
  run,
};

async function run({ spec, given }: Call): Promise<number> {
  checkPositionals(spec, given.positionals, 1);
  const [shell = ""] = given.positionals;
  const script = SCRIPTS.get(shell);
  if (script !== undefined) return await print(script);
  throw new UsageError(
    `Cannot complete commands in shell "${shell}": expected ${[...SCRIPTS.keys()].join(", ")}`,
  );
}

/** Runs `internal-complete` with the arguments after that word; resolves to its exit code. */
export async function runComplete(
  commands: readonly CompletedCommand[],
  [, ...words]: readonly string[],
): Promise<number> {
  const { candidates, rest, prefix } = complete(commands, words);
  const all: Candidate[] = [...candidates];
  if (rest === "managers") {
    const current = words.at(-1) ?? "";
    const names = (await listAccessFiles()).map(({ name }) => `${prefix}${name}`);
    all.push(
      ...names.filter((name) => name.startsWith(current)).map((text) => ({ text, help: "" })),
    );
  }
  const place = rest === "files" || rest === "directories" ? rest : "none";
  const lines = all.map(({ text, help }) => `${text}\t${plainText(help, HELP_CHARS_MAX)}\n`);
  return await print(`:${place}\n${lines.join("")}`);
}
