/** Completion as a person has it who presses the tab key, in each shell that is there. */

import { expect, test } from "bun:test";

import { hasProgram, Tmux } from "./tmux.ts";

/** {shell: how it is started, and how it learns to complete}. */
const SHELLS = {
  bash: { command: "bash --norc --noprofile", load: 'eval "$(tendril completions bash)"' },
  zsh: {
    command: "zsh -f",
    load: "PS1='$ '; autoload -U compinit; compinit -D; eval \"$(tendril completions zsh)\"",
  },
  fish: { command: "fish --no-config", load: "tendril completions fish | source" },
} as const;

/** Typed before the tab key, and what is there after it. */
const COMPLETED = [
  ["tendril expl", "tendril explain"],
  ["tendril tasks --outc", "tendril tasks --outcome"],
  ["tendril tasks --state retr", "tendril tasks --state retrieving"],
  ["tendril tasks --state=retr", "tendril tasks --state=retrieving"],
  ["tendril tune transfersPerW", "tendril tune transfersPerWorker="],
  ["tendril run wor", "tendril run workflow.ts"],
] as const;

for (const [shell, { command, load }] of Object.entries(SHELLS)) {
  test.skipIf(!hasProgram("tmux") || !hasProgram(shell))(
    `tendril completions completes commands, options, values and files in ${shell}`,
    async () => {
      using terminal = new Tmux({ command });
      await terminal.until((lines) => lines.join("") !== "", "the shell is there");
      terminal.type(`touch workflow.ts; ${load}; clear; echo "loaded"`);
      await terminal.until((lines) => lines[0] === "loaded", "the shell knows what to complete");
      for (const [typed, wanted] of COMPLETED) {
        terminal.press("-l", typed);
        terminal.press("Tab");
        const lines = await terminal.until(
          (all) => all.some((line) => line.endsWith(wanted)),
          `"${typed}" becomes "${wanted}"`,
        );
        expect(lines.filter((line) => line.includes("tendril "))).toHaveLength(1);
        terminal.press("C-u");
        await terminal.until((all) => !all.join("\n").includes(wanted), "the line is empty");
      }
    },
    120_000,
  );
}
