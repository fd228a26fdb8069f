/** The command lines of the programs that libraries are made of. */

import { unreachable } from "../../shared/assert.ts";
import { findProgram } from "../../shared/find_program.ts";
import type { LibraryProgram } from "../../shared/library.ts";
import type { LibraryDefinition } from "../../shared/protocol.ts";

/** A program in its place. */
export interface PlacedProgram {
  readonly library: Pick<LibraryDefinition, "name" | "mode" | "context"> & {
    readonly program: LibraryProgram<string>;
  };
  /** Path of its module; empty of a command. */
  readonly module: string;
  /** Path of the file with the call of the context function; empty when that has no arguments. */
  readonly contextCall: string;
  /** Where programs are searched for. */
  readonly searchPath: string;
  /** The program that serves a JavaScript module, before its arguments. */
  readonly hostCommand: readonly string[];
  /** Returns the path of the program that serves a Python module. */
  pythonHost(): string;
}

const SHELL = "/bin/sh";

/** What a module is mounted as, in a directory of its own. */
export function moduleMount(
  { program }: Pick<LibraryDefinition, "program">,
  { isDirectory }: { readonly isDirectory: boolean },
): string {
  // Both languages tell a module by its suffix, which names in the cache lack.
  if (program.kind === "python") return `${program.moduleName}${isDirectory ? "" : ".py"}`;
  return "library.ts";
}

/**
 * Returns program and arguments of a process of the library.
 *
 * @throws {Error} if what runs it is not there.
 */
export function programCommand(placed: PlacedProgram): readonly string[] {
  const { library, module, contextCall, hostCommand } = placed;
  const { program, context } = library;
  switch (program.kind) {
    case "javascript":
      return [...hostCommand, module, context, ...(contextCall === "" ? [] : [contextCall])];
    case "python":
      return [
        pythonOf(placed),
        placed.pythonHost(),
        ...["--module", module, "--name", program.moduleName, "--mode", library.mode],
        ...(context === "" ? [] : ["--context", context]),
        ...(contextCall === "" ? [] : ["--context-call", contextCall]),
        ...(program.isPickling === true ? ["--pickle"] : []),
      ];
    case "command":
      return [SHELL, "-c", program.command];
    default:
      return unreachable(program);
  }
}

function pythonOf({ library, searchPath }: PlacedProgram): string {
  const path = findProgram("python3", searchPath);
  if (path !== undefined) return path;
  throw new Error(`Cannot start library "${library.name}": no python3 in PATH ${searchPath}`);
}
