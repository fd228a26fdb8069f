import { expect, test } from "bun:test";

import {
  checkPositionals,
  commandHelp,
  type CommandSpec,
  readArguments,
  UsageError,
} from "../../shared/command_line.ts";

const GROW: CommandSpec = {
  name: "grow",
  usage: "tendril grow [options] PLANT [ARGS...]",
  summary: "grow a plant",
  example: "tendril grow --water 2 oak",
  options: {
    water: { value: "N", help: "litres a day" },
    "leaf-colour": { value: "NAME", isMultiple: true, help: "a colour; repeatable" },
    fast: { help: "in a hurry" },
  },
  hasVariables: true,
  endsAtPositional: true,
};

test("readArguments() ends the options at the first argument that is none", () => {
  const given = readArguments(GROW, ["--water", "2", "--fast", "oak", "--water", "9", "-x"], {});
  expect(given.text("water")).toBe("2");
  expect(given.flag("fast")).toBe(true);
  expect(given.positionals).toEqual(["oak", "--water", "9", "-x"]);
  expect(readArguments(GROW, ["--", "--fast"], {}).positionals).toEqual(["--fast"]);
});

test("readArguments() takes a value after a sign, and several of an option", () => {
  const given = readArguments(GROW, ["--leaf-colour=-1", "--leaf-colour", "b"], {});
  expect(given.texts("leaf-colour")).toEqual(["-1", "b"]);
});

test("readArguments() takes variables where no option is given", () => {
  const env = { TENDRIL_WATER: "3", TENDRIL_LEAF_COLOUR: "a,b", TENDRIL_FAST: "1" };
  const given = readArguments(GROW, ["--water", "1"], env);
  expect([given.text("water"), given.texts("leaf-colour"), given.flag("fast")]).toEqual([
    "1",
    ["a", "b"],
    true,
  ]);
  const { TENDRIL_WATER, ...options } = env;
  const silent = readArguments({ ...GROW, hasVariables: false }, [], { TENDRIL_WATER, ...options });
  expect([silent.text("water"), silent.flag("fast")]).toEqual([undefined, false]);
  expect(() => readArguments(GROW, [], { TENDRIL_FAST: "maybe" }).flag("fast")).toThrow(
    'Cannot read TENDRIL_FAST "maybe" as a switch: expected 1 or 0',
  );
});

test.each([
  [
    ["--wter", "2"],
    'Cannot take "--wter" as an option of grow: expected --water, --leaf-colour, --fast, --help',
  ],
  [["-w"], 'Cannot take "-w" as an option of grow: expected'],
  [["--water"], "Cannot read --water without its value: expected --water N"],
  [["--water", "--fast"], "Cannot read --water without its value: expected --water N"],
  [["--fast=no"], 'Cannot take "no" as the value of --fast: it takes none'],
])("readArguments() refuses %p", (args, message) => {
  expect(() => readArguments(GROW, args, {})).toThrow(UsageError);
  expect(() => readArguments(GROW, args, {})).toThrow(message);
});

test("checkPositionals() refuses what is too much", () => {
  checkPositionals(GROW, ["oak"], 1);
  expect(() => checkPositionals(GROW, ["oak", "elm"], 1)).toThrow(
    'Cannot take "elm" as an argument of grow: expected tendril grow [options] PLANT [ARGS...]',
  );
});

test("commandHelp() shows usage, options, variables and an example", () => {
  expect(commandHelp(GROW)).toBe(`Usage: tendril grow [options] PLANT [ARGS...]

Grow a plant.

  --water N               litres a day
  --leaf-colour NAME      a colour; repeatable
  --fast                  in a hurry
  --help                  show this text

An option may also be given as a variable: --leaf-colour as TENDRIL_LEAF_COLOUR.

Example: tendril grow --water 2 oak
`);
  expect(readArguments(GROW, ["-h"], {}).isHelp).toBe(true);
});

test("readArguments() takes the value of an optional one only after =", () => {
  const spec = {
    ...GROW,
    endsAtPositional: false,
    options: { watch: { value: "SECONDS", isOptional: true, help: "w" } },
  };
  const read = (...args: string[]) => {
    const given = readArguments(spec, args, {});
    return [given.text("watch"), given.positionals];
  };
  expect(read("--watch=5", "x")).toEqual(["5", ["x"]]);
  expect(read("--watch", "5")).toEqual(["", ["5"]]);
  expect(read("5")).toEqual([undefined, ["5"]]);
  expect(commandHelp(spec)).toContain("  --watch[=SECONDS]       w\n");
});
