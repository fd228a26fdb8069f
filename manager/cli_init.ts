/** `tendril init [DIR]`: what a directory needs to write workflows in, on either runtime. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

import { join } from "@std/path";

import type { EmbeddedLibrary } from "./embedded.ts";

const WORKFLOW = `import { Manager } from "tendril";

await using manager = await Manager.start({ workers: 2 });

const tasks = ["oak", "elm", "ash"].map((name) =>
  manager.submit({ command: \`echo "hello from the \${name}"\` })
);
for (const task of tasks) {
  const result = await task;
  console.log(result.outcome, result.stdout.trim());
}
`;

const DENO_CONFIG = { imports: { tendril: "./tendril.mjs" } };

const TYPESCRIPT_CONFIG = {
  compilerOptions: {
    target: "ESNext",
    module: "Preserve",
    moduleResolution: "bundler",
    allowImportingTsExtensions: true,
    noEmit: true,
    strict: true,
    // TypeScript takes the first; Bun passes over declarations.
    paths: { tendril: ["./tendril.d.ts", "./tendril.mjs"] },
  },
};

/**
 * Writes a starter workflow, the library, its types and the two configurations into `directory`,
 * all of them or none. Files that are there with the same contents stay.
 *
 * @returns names of the files that were written.
 * @throws Error when a file is there with other contents, or cannot be written.
 */
export function initDirectory(directory: string, library: EmbeddedLibrary): string[] {
  const wanted: Record<string, string> = {
    "workflow.ts": WORKFLOW,
    "tendril.mjs": library.code,
    "tendril.d.ts": library.declarations,
    "deno.json": json(DENO_CONFIG),
    "tsconfig.json": json(TYPESCRIPT_CONFIG),
  };
  mkdirSync(directory, { recursive: true });
  const found = (name: string): string | undefined => contentsOf(join(directory, name));
  const names = Object.keys(wanted).filter((name) => found(name) === undefined);
  const others = Object.keys(wanted).filter((name) =>
    !names.includes(name) && found(name) !== wanted[name]
  );
  if (others.length > 0) {
    const list = others.map((name) => `"${name}"`).join(", ");
    throw new Error(
      `Cannot write a starter workflow to "${directory}" as new files: ${list} ` +
        `${others.length > 1 ? "exist" : "exists"} with other contents`,
    );
  }
  writeAll(directory, names.map((name) => [name, wanted[name] ?? ""]));
  return names;
}

function writeAll(directory: string, files: readonly (readonly [string, string])[]): void {
  const begun: string[] = [];
  try {
    for (const [name, contents] of files) {
      const path = join(directory, name);
      // Opened apart from writing: a file that another process has just made is not ours to remove.
      writeFileSync(path, "", { flag: "wx" });
      begun.push(path);
      writeFileSync(path, contents);
    }
  } catch (error) {
    for (const path of begun) rmSync(path, { force: true });
    throw new Error(
      `Cannot write a starter workflow to "${directory}" as new files: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** Empty for what is there and is no file: that is not ours to write over either. */
function contentsOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : "";
  }
}

function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2) + "\n";
}
