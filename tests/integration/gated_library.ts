/**
 * The same function as a library of each kind: it leaves the id of the process that serves its
 * library, waits for a gate, notes its number, and returns that.
 */

import { writeFileSync } from "node:fs";

import type { Library, LibraryOptions, Manager } from "../../mod.ts";
import type { Scratch } from "./scratch.ts";

/** What serves the calls. */
export type LibraryKind = "JavaScript" | "Python direct" | "Python fork" | "command";

/** All of them, for tests of each. */
export const LIBRARY_KINDS: readonly LibraryKind[] = [
  "JavaScript",
  "Python direct",
  "Python fork",
  "command",
];

/** Paths where the function leaves what it did; the gate is a file that the test makes. */
export interface Gate {
  /** The process that served the library of the call that started last. */
  readonly pid: string;
  /** The process that this call ran in: another one in mode fork. */
  readonly call: string;
  readonly gate: string;
  /** A line for each call that has passed the gate. */
  readonly log: string;
}

const JAVASCRIPT = `
import { appendFileSync, existsSync, renameSync, writeFileSync } from "node:fs";
const { GATE_FOLDER: folder } = process.env;
function leave(name, text) {
  writeFileSync(folder + "/new." + process.pid, text);
  renameSync(folder + "/new." + process.pid, folder + "/" + name);
}
export function work(n) {
  leave("call", String(process.pid));
  leave("pid", String(process.pid));
  while (!existsSync(folder + "/gate")) Bun.sleepSync(5);
  appendFileSync(folder + "/log", n + "\\n");
  return n;
}
`;

const PYTHON = `
import os
import time

import tendril

FOLDER = os.environ["GATE_FOLDER"]

def load():
    return {"pid": os.getpid()}

def leave(name, text):
    new = f"{FOLDER}/new.{os.getpid()}"
    with open(new, "w") as file:
        file.write(text)
    os.rename(new, f"{FOLDER}/{name}")

def work(n):
    leave("call", str(os.getpid()))
    leave("pid", str(tendril.context["pid"]))
    while not os.path.exists(f"{FOLDER}/gate"):
        time.sleep(0.005)
    with open(f"{FOLDER}/log", "a") as log:
        log.write(f"{n}\\n")
    return n
`;

/** Its arguments are an array of one number, which is their last byte. */
const COMMAND = `
echo ready >&4
while read -r word id name size paths <&3; do
  head -c "$size" <&3 >arguments
  for left in call pid; do
    echo $$ >"$GATE_FOLDER/new.$$"
    mv "$GATE_FOLDER/new.$$" "$GATE_FOLDER/$left"
  done
  while [ ! -e "$GATE_FOLDER/gate" ]; do sleep 0.01; done
  echo $(tail -c 1 arguments | od -An -tu1) >>"$GATE_FOLDER/log"
  { echo "result $id ok $((size - 1))"; tail -c +2 arguments; } >&4
done
`;

/** Declares a library of that kind, whose function is `work`. */
export function declareGated(
  manager: Manager,
  { scratch, kind, slots = 1 }: {
    readonly scratch: Scratch;
    readonly kind: LibraryKind;
    readonly slots?: number;
  },
): { readonly library: Library; readonly gate: Gate } {
  const { folder } = scratch;
  const library = manager.library({
    name: "gated",
    slots,
    env: { GATE_FOLDER: folder },
    ...programOf(scratch, kind),
  } as LibraryOptions);
  const [pid, call, gate, log] = ["pid", "call", "gate", "log"].map((name) => scratch.path(name));
  return { library, gate: { pid: pid!, call: call!, gate: gate!, log: log! } };
}

function programOf(scratch: Scratch, kind: LibraryKind): object {
  switch (kind) {
    case "JavaScript": {
      const module = scratch.path("gated.js");
      writeFileSync(module, JAVASCRIPT);
      return { module };
    }
    case "Python direct":
      return { python: PYTHON, context: "load" };
    case "Python fork":
      return { python: PYTHON, context: "load", mode: "fork" };
    case "command":
      return { command: COMMAND };
  }
}
