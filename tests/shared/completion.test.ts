import { expect, test } from "bun:test";

import { complete, type CompletedCommand } from "../../shared/completion.ts";

const COMMANDS: readonly CompletedCommand[] = [
  {
    name: "tasks",
    summary: "list tasks",
    options: {
      state: { value: "STATE", isMultiple: true, values: ["ready", "running"], help: "s" },
      name: { value: "NAME", completes: "managers", help: "m" },
      output: { value: "FILE", short: "o", help: "f" },
      watch: { value: "SECONDS", isOptional: true, help: "w" },
      failed: { help: "x" },
    },
    operands: { values: ["last", "all"] },
  },
  { name: "tune", summary: "change policies", operands: { values: ["placement=files"] } },
  {
    name: "run",
    summary: "run a script",
    options: { workers: { value: "N", help: "n" } },
    operands: { completes: "files" },
    endsAtPositional: true,
  },
  { name: "help", summary: "show this", operands: { completes: "commands" } },
];

const texts = (...words: string[]) => complete(COMMANDS, words).candidates.map(({ text }) => text);

test("complete() finds commands, also those that help is asked of", () => {
  expect(texts("t")).toEqual(["tasks", "tune"]);
  expect(texts("")).toEqual(["tasks", "tune", "run", "help"]);
  expect(texts("help", "ru")).toEqual(["run"]);
  expect(texts("bogus", "")).toEqual([]);
});

test("complete() finds options, each once unless it may be repeated", () => {
  expect(texts("tasks", "--")).toEqual(
    ["--state", "--name", "--output", "--watch", "--failed", "--help"],
  );
  expect(texts("tasks", "--failed", "--state", "ready", "--")).toEqual(
    ["--state", "--name", "--output", "--watch", "--help"],
  );
});

test("complete() finds values of options, wherever they are written", () => {
  expect(texts("tasks", "--state", "r")).toEqual(["ready", "running"]);
  expect(texts("tasks", "--state=ru")).toEqual(["--state=running"]);
  expect(complete(COMMANDS, ["tasks", "--name=o"])).toMatchObject(
    { rest: "managers", prefix: "--name=" },
  );
  expect(complete(COMMANDS, ["tasks", "-o", ""])).toMatchObject({ candidates: [], rest: "files" });
});

test("complete() finds arguments after options with and without a value", () => {
  expect(texts("tasks", "--watch", "")).toEqual(["last", "all"]);
  expect(texts("tasks", "--state", "ready", "l")).toEqual(["last"]);
  expect(texts("tune", "placement=f")).toEqual(["placement=files"]);
});

test("complete() leaves to the shell what a script is given", () => {
  expect(complete(COMMANDS, ["run", ""]).rest).toBe("files");
  expect(complete(COMMANDS, ["run", "workflow.ts", "--w"])).toMatchObject(
    { candidates: [], rest: "files" },
  );
});
