import { expect, test } from "bun:test";

import type { Fact } from "../../manager/core/fact.ts";
import type { TaskId } from "../../shared/ids.ts";
import type { TryResult } from "../../shared/task.ts";
import { Progress, type ProgressOptions } from "../../manager/progress.ts";
import type { ClearLine } from "../../shared/terminal.ts";
import { Screen } from "../screen.ts";
import { statusWith } from "./status_sample.ts";

function optionsWith(
  terminal: Screen,
  options: Partial<ProgressOptions> = {},
): ProgressOptions {
  return {
    status: () => statusWith(),
    subscribe: () => () => {},
    more: () => undefined,
    appOf: () => undefined,
    isEnding: () => false,
    terminal,
    beforeOutput: () => () => {},
    ...options,
  };
}

/** A fact of a task that failed, or was cancelled. */
function ended(taskId: number, outcome: "exit" | "cancelled" = "exit"): Fact {
  const stderr = new TextEncoder().encode(`no oak ${taskId}\n`);
  const id = taskId as TaskId;
  return {
    kind: "task_ended",
    taskId: id,
    outcome,
    outputs: [],
    end: {
      taskId: id,
      try: 1,
      outcome,
      message: "The command ended with exit code 4",
      result: { stderr } as TryResult,
      submittedAtMs: 0,
      dispatchedAtMs: 0,
      endedAtMs: 0,
    },
  };
}

test("Progress redraws one line on a terminal, which goes for the end", async () => {
  const terminal = new Screen({ columns: 20, rows: 10 });
  let clear: ClearLine = () => {};
  let isReleased = false;
  const beforeOutput = (clearLine: ClearLine) => {
    clear = clearLine;
    return () => void (isReleased = true);
  };
  {
    using _progress = new Progress(optionsWith(terminal, { beforeOutput }));
    await terminal.written();
    expect(terminal.lines()).toEqual(["tasks: 4/10 done"]);
    clear(false);
    expect(terminal.lines()).toEqual([]);
    await terminal.written();
    expect(terminal.lines()).toEqual(["tasks: 4/10 done"]);
  }
  expect(isReleased).toBe(true);
  expect(terminal.lines().join("")).toMatch(/^tasks: 3 succeeded, 1 failed/);
});

test("Progress tells of tasks that fail when they do, and at the end where there is more", async () => {
  const terminal = new Screen({ columns: 100, rows: 20 });
  const listeners: ((facts: readonly Fact[]) => void)[] = [];
  const subscribe = (listener: (facts: readonly Fact[]) => void) => {
    listeners.push(listener);
    return () => void listeners.pop();
  };
  const more = ({ id }: { readonly id: number }) => `outputs of ${id}`;
  {
    using _progress = new Progress(optionsWith(terminal, { subscribe, more }));
    await terminal.written();
    listeners[0]?.([ended(7), ended(8, "cancelled")]);
    expect(terminal.lines()).toEqual([
      "task 7 ended as exit: The command ended with exit code 4",
      "  no oak 7",
    ]);
  }
  expect(listeners).toEqual([]);
  expect(terminal.lines()).toEqual([
    "task 7 ended as exit: The command ended with exit code 4",
    "  no oak 7",
    "task 7 ended as exit: The command ended with exit code 4",
    "more of it: outputs of 7",
    expect.stringMatching(/^tasks: 3 succeeded, 1 failed/),
  ]);
});

test("Progress shows its line no more once the process ends", async () => {
  const terminal = new Screen({ columns: 80, rows: 10 });
  let isEnding = false;
  using _progress = new Progress(optionsWith(terminal, { isEnding: () => isEnding }));
  await terminal.written();
  isEnding = true;
  await terminal.written();
  expect(terminal.lines()).toEqual([]);
});

test("Progress writes plain lines to a pipe, and nothing when there was no task", () => {
  const terminal = new Screen({ isTTY: false });
  const beforeOutput = () => {
    throw new Error("nothing is drawn on a pipe");
  };
  const status = () => statusWith({ submitted: 0 });
  new Progress(optionsWith(terminal, { status, beforeOutput }))[Symbol.dispose]();
  expect(terminal.text).toBe("");
  new Progress(optionsWith(terminal, { beforeOutput }))[Symbol.dispose]();
  expect(terminal.text).toMatch(/^tasks: 3 succeeded, .+\n$/);
  expect(terminal.text).not.toContain("\x1b");
});
