/** From the start of `tendril run --workers 1` to its first result, in an empty directory. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";

import { join } from "@std/path";

import { type Figure, repeat } from "./figure.ts";

const BINARY = fileURLToPath(new URL("../../dist/tendril", import.meta.url).href);
const WORKFLOW = `import { Manager } from "tendril";
await using manager = await Manager.start();
const { stdout } = await manager.submit({ command: "echo first" }).orThrow();
console.log(stdout);
`;

/** Seconds until the first result is printed, beside the bare start of the binary. */
export async function measureStart(): Promise<Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), "tendril-bench-"));
  try {
    await writeFile(join(directory, "workflow.ts"), WORKFLOW);
    const runs = await repeat(async () => {
      const baseline = await firstOutputMs(["version"], directory) / 1000;
      const args = ["run", "--quiet", "--workers", "1", "workflow.ts"];
      return { value: await firstOutputMs(args, directory) / 1000, baseline };
    });
    const name = "run to the first result";
    return [{ name, unit: "s", beside: "tendril version", aim: "0.5", runs }];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function firstOutputMs(args: readonly string[], cwd: string): Promise<number> {
  const startMs = performance.now();
  const child = Bun.spawn({ cmd: [BINARY, ...args], cwd, stdio: ["ignore", "pipe", "inherit"] });
  let ms: number | undefined;
  for await (const _chunk of child.stdout) ms ??= performance.now() - startMs;
  if (await child.exited !== 0 || ms === undefined) {
    throw new Error(`Cannot run "tendril ${args.join(" ")}": exit code ${child.exitCode}`);
  }
  return ms;
}
