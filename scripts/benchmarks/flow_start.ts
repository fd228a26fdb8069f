/** How soon the first call of an app has given its value, each time in a fresh process. */
import process from "node:process";
import { fileURLToPath } from "node:url";

import { type Figure, repeat } from "./figure.ts";
import { withFolder } from "./flow_load.ts";

const FIRST = fileURLToPath(new URL("flow_first.ts", import.meta.url).href);
const PACKAGE = fileURLToPath(new URL("../../mod.ts", import.meta.url).href);

const PLACES = [
  { name: "manager", title: "a local worker" },
  { name: "in-process", title: "in process" },
] as const;

/** Seconds from `load`, and from the start of the process, which imports all of Tendril. */
export async function measureFlowStart(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { name, title } of PLACES) {
    const runs = await repeat(async () => {
      const bareMs = await run(["-e", `await import(${JSON.stringify(PACKAGE)})`]);
      const first = await run([FIRST, name]);
      return { fromLoad: first.printed / 1000, ...first, bareMs: bareMs.ms };
    });
    figures.push({
      name: `load to the first result, ${title}`,
      unit: "s",
      beside: "",
      aim: "0.5",
      runs: runs.map(({ fromLoad }) => ({ value: fromLoad, baseline: 0 })),
    }, {
      name: `start of a script to its first result, ${title}`,
      unit: "s",
      beside: "a script that only imports",
      aim: "",
      runs: runs.map(({ firstMs, bareMs }) => ({
        value: firstMs / 1000,
        baseline: bareMs / 1000,
      })),
    });
  }
  return figures;
}

/** When it printed something first, what, and when it had ended. */
async function run(
  args: readonly string[],
): Promise<{ readonly printed: number; readonly firstMs: number; readonly ms: number }> {
  return await withFolder(async (cwd) => {
    const startMs = performance.now();
    const child = Bun.spawn({
      cmd: [process.execPath, ...args],
      cwd,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let firstMs = 0;
    let text = "";
    for await (const chunk of child.stdout) {
      if (firstMs === 0) firstMs = performance.now() - startMs;
      text += new TextDecoder().decode(chunk);
    }
    if (await child.exited !== 0) throw new Error(`Cannot run "${args.join(" ")}" for a bench`);
    return { printed: Number(text), firstMs, ms: performance.now() - startMs };
  });
}
