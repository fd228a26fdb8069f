/**
 * Gives scripts and library modules that are imported at run time the module "tendril" of the
 * running program, wherever they lie on disk.
 *
 * @module
 */

/** The part of Bun's plugins that is used. */
interface Plugins {
  plugin(options: {
    name: string;
    setup(build: {
      module(
        name: string,
        load: () => Promise<{ exports: object; loader: "object" }>,
      ): void;
    }): void;
  }): void;
}

/**
 * Makes `import … from "tendril"` resolve to what `load` returns, which is called at the first
 * such import. For Bun and the binary: Deno maps the name in its configuration.
 */
export function provideTendrilModule(load: () => Promise<object>): void {
  const runtime = (globalThis as { Bun?: Plugins }).Bun;
  runtime?.plugin({
    name: "tendril",
    setup(build) {
      build.module("tendril", async () => ({ exports: await load(), loader: "object" }));
    },
  });
}
