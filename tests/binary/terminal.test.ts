/** What a person sees in a terminal: progress, failures, tables that are watched, interrupts. */

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";

import { hasProgram, Tmux } from "./tmux.ts";

/** Four tasks end at once, one of them badly; the others wait for a file that never comes. */
const WORKFLOW = `import { Manager } from "tendril";
await using manager = await Manager.start({ name: "oak", workers: 1 });
const command = (index: number) => {
  if (index === 2) return 'echo "no oak here" >&2; exit 4';
  return index < 4 ? "true" : "while [ ! -e " + process.cwd() + "/go ]; do sleep 0.1; done";
};
const tasks = Array.from({ length: 40 }, (_, index) => {
  return manager.submit({ command: command(index), cores: 0.25 });
});
for (const task of tasks) await task;`;

const isProgress = (line: string) => line.startsWith("tasks: ");
const isFull = (line: string) => /^tasks: 4\/40 done, .*1 failed; workers: 1; moved: /.test(line);
const isPrompt = (lines: readonly string[]) => lines.at(-1) === "$";

test.skipIf(!hasProgram("tmux"))(
  "tendril run shows one line that fits the terminal, failures above it, and goes at Ctrl-C",
  async () => {
    using terminal = new Tmux({ columns: 100, rows: 30 });
    writeFileSync(terminal.path("workflow.ts"), WORKFLOW);
    terminal.type("tendril run workflow.ts; echo code $?");
    const first = await terminal.until(
      (lines) => lines.some(isFull) && lines.some((line) => line === "  no oak here"),
      "progress is shown, and the task that failed",
    );
    expect(first.filter(isProgress)).toHaveLength(1);
    expect(first).toContain("task 3 ended as exit: The command ended with exit code 4");
    terminal.resize(60, 30);
    const isCut = (line: string) => /^tasks: 4\/40 done, \d+ running, 1 failed/.test(line);
    const narrow = await terminal.until(
      (lines) => lines.filter(isCut).length === 1 && isCut(lines.at(-1) ?? ""),
      "the line fits 60 columns and is the last",
    );
    expect(narrow.filter((line) => /workers|moved|waiting/.test(line))).toEqual([]);
    expect(narrow.every((line) => line.length < 60 || !isProgress(line))).toBe(true);
    terminal.resize(100, 30);
    const wide = await terminal.until((lines) => isFull(lines.at(-1) ?? ""), "it is whole again");
    expect(wide.filter(isProgress)).toHaveLength(1);
    terminal.press("C-c");
    const last = await terminal.until(isPrompt, "the prompt is back");
    const from = last.findIndex((line) => line.startsWith("tendril: ending"));
    expect(last.slice(from)).toEqual([
      "tendril: ending; interrupt once more to end at once",
      "task 3 ended as exit: The command ended with exit code 4",
      expect.stringMatching(/^tasks: 3 succeeded, 1 failed, 36 unfinished; in /),
      "code 130",
      "$",
    ]);
    expect(last.slice(0, from).filter(isProgress)).toEqual([]);
  },
  120_000,
);

test.skipIf(!hasProgram("tmux"))(
  "tendril tasks --watch redraws its table in place, and tendril submit its progress",
  async () => {
    using terminal = new Tmux({ columns: 90, rows: 12 });
    terminal.type("tendril manager --quiet --name oak --workers 1 2>/dev/null & clear");
    terminal.type("tendril submit -- 'until [ -e $HOME/go ]; do sleep 0.1; done'");
    terminal.type("tendril tasks --watch=0.1; echo code $?");
    await terminal.until(
      (lines) => lines.some((line) => / 1 {2}running /.test(line)),
      "the task is in the table",
    );
    writeFileSync(terminal.path("go"), "");
    const done = await terminal.until(
      (lines) => lines.some((line) => / 1 {2}done +success /.test(line)),
      "the table has it done",
    );
    expect(done.filter((line) => line.startsWith("ID"))).toHaveLength(1);
    terminal.resize(50, 12);
    await terminal.until(
      (lines) =>
        lines.filter((line) => /^ 1 {2}done +success /.test(line)).length === 1 &&
        lines.filter((line) => line.startsWith("ID")).length === 1,
      "the table fits 50 columns",
    );
    terminal.press("q");
    const quit = await terminal.until(isPrompt, "the prompt is back");
    expect(quit.slice(-3)).toEqual([expect.stringMatching(/^ 1 {2}done /), "code 0", "$"]);
    terminal.resize(90, 12);
    terminal.type("clear; tendril submit --progress -- 'echo no elm >&2; sleep 1000'");
    await terminal.until(
      (lines) => lines.some((line) => /^tasks: 0\/1 done, .*1 running/.test(line)),
      "the line of a wait is shown",
    );
    terminal.press("C-c");
    const told = await terminal.until(isPrompt, "the wait is over");
    expect(told.some(isProgress)).toBe(false);
    expect(told.at(-2)).toContain("the tasks go on; to end them: tendril cancel 2");
    terminal.type("kill %1; wait; echo ended");
    await terminal.until((lines) => lines.includes("ended"), "the manager has ended");
  },
  120_000,
);
