/** The code of apps as files of this machine, for processes that serve its functions. */

import { mkdirSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";

import { join, resolve } from "@std/path";

import { functionsModule } from "../../shared/function_source.ts";
import type { LocalLibrary } from "../../shared/local_try.ts";
import { bundleLibrary, findModule, type LibraryBundle } from "../library_bundle.ts";
import { findPython } from "../python_module.ts";
import type { AppBody, AppTarget } from "./executor.ts";

type LocalProgram = LocalLibrary["program"];

/** Owner of the files; the folder goes with its executor. */
export class LocalCode {
  readonly #folder: () => string;
  readonly #programs: WeakMap<AppBody, Promise<LocalProgram>> = new WeakMap();
  /** `{what it is made of: library}` */
  readonly #libraries: Map<string, Promise<LocalLibrary>> = new Map();
  readonly #byTarget: WeakMap<AppTarget, Promise<LocalLibrary>> = new WeakMap();
  readonly #numbers: WeakMap<AppBody, number> = new WeakMap();
  #count = 0;

  /** Asks for the folder when there is something to write. */
  constructor(folder: () => string) {
    this.#folder = folder;
  }

  /**
   * The library of a function: one for the same code and variables.
   *
   * @throws {TypeError} When the function cannot be taken out of its place.
   */
  libraryOf(target: AppTarget): Promise<LocalLibrary> {
    const known = this.#byTarget.get(target);
    if (known !== undefined) return known;
    const { body, process: { env = {}, cores = 1 } } = target;
    const program = this.#programOf(body);
    const key = JSON.stringify([this.#numberOf(body), cores, Object.entries(env).sort()]);
    let library = this.#libraries.get(key);
    if (library === undefined) {
      const libraryId = this.#libraries.size + 1;
      library = program.then((program) => ({ libraryId, program, env, cores }));
      // Whoever calls it hears of it.
      library.catch(() => {});
      this.#libraries.set(key, library);
    }
    this.#byTarget.set(target, library);
    return library;
  }

  #numberOf(body: AppBody): number {
    const known = this.#numbers.get(body);
    if (known !== undefined) return known;
    this.#count += 1;
    this.#numbers.set(body, this.#count);
    return this.#count;
  }

  #programOf(body: AppBody): Promise<LocalProgram> {
    let program = this.#programs.get(body);
    if (program === undefined) {
      program = this.#write(body);
      program.catch(() => {});
      this.#programs.set(body, program);
    }
    return program;
  }

  /** What is wrong with a function by value is thrown at once. */
  #write(body: AppBody): Promise<LocalProgram> {
    const folder = join(this.#folder(), String(this.#numberOf(body)));
    mkdirSync(folder, { recursive: true });
    switch (body.kind) {
      case "javascript": {
        // As at workers, its name says how it is read.
        const module = join(folder, "library.ts");
        if (body.code === "value") {
          writeFileSync(module, functionsModule({ [body.function]: body.fn }, body.context));
          return Promise.resolve({ kind: "javascript", module });
        }
        return bundleOf(body)
          .then(({ bytes }) => writeFile(module, bytes))
          .then(() => ({ kind: "javascript", module }));
      }
      case "python":
        return Promise.resolve(pythonProgram(body, folder));
      default:
        throw new TypeError("Cannot make a library of a command");
    }
  }
}

/** A module with what it imports. */
export async function bundleOf(
  body: Extract<AppBody, { readonly code: "module" | "text" }>,
): Promise<LibraryBundle> {
  if (body.code === "text") return await bundleLibrary(resolve("app.mjs"), body.text);
  return await bundleLibrary(await findModule(body.module, body.from));
}

function pythonProgram(
  body: Extract<AppBody, { readonly kind: "python" }>,
  folder: string,
): LocalProgram {
  const found = findPython(body.module, { from: body.from, library: body.function });
  if (found.kind !== "text") return { kind: "python", module: found.path, moduleName: found.name };
  const module = join(folder, `${found.name}.py`);
  writeFileSync(module, found.text);
  return { kind: "python", module, moduleName: found.name };
}
