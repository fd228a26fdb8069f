/** Makes one JavaScript module of a module and what it imports, with the bundler of Bun. */

import { Buffer } from "node:buffer";
import process from "node:process";
import { text } from "node:stream/consumers";

import { resolve } from "@std/path";

/** Kept as an import: the process that runs the module has it. */
const EXTERNAL: readonly string[] = ["tendril"];

/** True where `bundleModule` works: on Bun and in the binary. */
export const canBundle: boolean = "Bun" in globalThis;

/** Thrown when a module or what it imports cannot be read as one. */
export class BundleError extends Error {
  override readonly name = "BundleError";
}

/** A file that the bundler made. */
interface BundlerOutput {
  readonly kind: string;
  readonly path: string;
  text(): Promise<string>;
}

/** The part of a source map (ECMA-426) that errors are placed by. */
interface SourceMap {
  readonly version: 3;
  readonly sources: readonly string[];
  readonly names: readonly string[];
  readonly mappings: string;
}

/** The part of `Bun.build` that is used. */
interface BundlingHost {
  build(options: {
    entrypoints: string[];
    /** `{path: text that stands for the file there}` */
    files: Readonly<Record<string, string>>;
    target: "bun";
    format: "esm";
    sourcemap: "external";
    external: string[];
    env: "disable";
    throw: false;
    plugins: {
      readonly name: string;
      setup(build: {
        onResolve(
          options: { readonly filter: RegExp },
          resolve: (found: { readonly path: string }) => never,
        ): void;
      }): void;
    }[];
  }): Promise<{
    success: boolean;
    outputs: BundlerOutput[];
    logs: {
      readonly message: string;
      readonly position: { readonly file: string; readonly line: number } | null;
    }[];
  }>;
}

/**
 * Returns the module at `path`, an absolute one, with all it imports but built-in modules and
 * "tendril", as JavaScript for Bun, with a source map.
 *
 * @param source What the module is, if there need be no such file: imports start at the path.
 * @throws {BundleError} if that cannot be done, with each reason and its place.
 */
export async function bundleModule(
  path: string,
  source?: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const { Bun: host } = globalThis as unknown as { Bun: BundlingHost };
  const { success, outputs, logs } = await host.build({
    entrypoints: [path],
    files: source === undefined ? {} : { [path]: source },
    target: "bun",
    format: "esm",
    sourcemap: "external",
    external: [...EXTERNAL],
    // What is in the environment here is not what is there.
    env: "disable",
    throw: false,
    plugins: [{ name: "remote imports", setup: refuseRemote }],
  });
  if (!success) {
    const reasons = logs.map(({ message, position }) =>
      position === null ? message : `${message} (${position.file}:${position.line})`
    );
    throw new BundleError(reasons.join("; ") || "the bundler does not say why");
  }
  const map = outputs.find(({ kind }) => kind === "sourcemap");
  const [module, ...assets] = outputs.filter((output) => output !== map);
  if (module === undefined) throw new BundleError("the bundler made nothing");
  if (assets.length > 0) {
    const names = assets.map((asset) => asset.path).join(", ");
    throw new BundleError(`it imports ${names}: give such files as arguments`);
  }
  const end = map === undefined ? "" : mapComment(JSON.parse(await map.text()));
  return new TextEncoder().encode(await module.text() + end);
}

/**
 * The line by which an error thrown at a worker tells the file and the line as they were written.
 * The sources themselves are left out: they are most of a map, and who has them reads the error.
 */
function mapComment({ version, sources, names, mappings }: SourceMap): string {
  // Bun has them relative to the working directory, which the bundle does not share.
  const paths = sources.map((path) => resolve(path));
  // A map without texts would be refused by it.
  const map = { version, sources: paths, sourcesContent: paths.map(() => ""), names, mappings };
  const text = Buffer.from(JSON.stringify(map)).toString("base64");
  return `//# sourceMappingURL=data:application/json;base64,${text}\n`;
}

type Build = Parameters<Parameters<BundlingHost["build"]>[0]["plugins"][number]["setup"]>[0];

/** Bun would keep an import by url, and no worker could follow it. */
function refuseRemote(build: Build): void {
  build.onResolve({ filter: /^https?:/ }, ({ path }) => {
    throw new BundleError(`it imports "${path}": import files and installed packages`);
  });
}

/**
 * What the hidden subcommand `internal-bundle PATH [-]` does: the bundle goes to standard output.
 * With `-` the module is what standard input has, as if it were at the path.
 */
export async function runBundle([path = "", input]: readonly string[]): Promise<number> {
  try {
    const bytes = await bundleModule(path, input === "-" ? await text(process.stdin) : undefined);
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(bytes, (error) => error ? reject(error) : resolve());
    });
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}
