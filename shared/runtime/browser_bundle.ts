/** Makes one script and one style sheet for browsers, with the bundler of Bun. */

import { BundleError } from "./bundle.ts";

/** A file that the bundler made. */
interface BundlerOutput {
  readonly path: string;
  text(): Promise<string>;
}

/** The part of `Bun.build` that is used. */
interface BundlingHost {
  build(options: {
    entrypoints: string[];
    target: "browser";
    format: "esm";
    minify: true;
    define: { readonly [name: string]: string };
    jsx: { runtime: "automatic"; importSource: "preact"; development: false };
    env: "disable";
    throw: false;
  }): Promise<{
    success: boolean;
    outputs: BundlerOutput[];
    logs: { readonly message: string }[];
  }>;
}

/** What a browser loads. */
export interface BrowserBundle {
  readonly script: string;
  readonly style: string;
}

/**
 * Bundles the modules below `script`, a path of TypeScript, and the style sheets below `style`, both
 * minified. Only where `canBundle` is true.
 *
 * @throws {BundleError} if that cannot be done, with each reason.
 */
export async function bundleForBrowser(entries: BrowserBundle): Promise<BrowserBundle> {
  const { Bun: host } = globalThis as unknown as { Bun: BundlingHost };
  const { success, outputs, logs } = await host.build({
    entrypoints: [entries.script, entries.style],
    target: "browser",
    format: "esm",
    minify: true,
    define: { "process.env.NODE_ENV": '"production"' },
    jsx: { runtime: "automatic", importSource: "preact", development: false },
    env: "disable",
    throw: false,
  });
  const [script, style] = [".js", ".css"].map((end) => {
    return outputs.find(({ path }) => path.endsWith(end));
  });
  if (success && script !== undefined && style !== undefined) {
    return { script: await script.text(), style: await style.text() };
  }
  const reasons = logs.map(({ message }) => message).join("; ");
  throw new BundleError(reasons || "the bundler does not say why");
}
