import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";

import { type Fact, type Library, Manager, type ManagerOptions } from "../../mod.ts";
import { Scratch, until } from "./scratch.ts";

const PYTHON = "def step(n):\n    return n + 1\n";
const JAVASCRIPT = "export const step = (n: number): number => n + 1;\n";

type Change = Extract<Fact, { kind: "library_instance" }>["change"];

/** A manager, a worker, and how often instances of a library have changed. */
async function withWorker(
  { cores, policies = {} }: {
    readonly cores: number;
    readonly policies?: ManagerOptions["policies"];
  },
  work: (parts: {
    readonly manager: Manager;
    readonly module: string;
    countOf(library: string, change: Change): number;
  }) => Promise<void>,
): Promise<void> {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ policies });
  const changes: string[] = [];
  manager.subscribe((facts) => {
    for (const fact of facts) {
      if (fact.kind === "library_instance") changes.push(`${fact.library} ${fact.change}`);
    }
  });
  await scratch.worker(manager, { cores });
  const module = scratch.path("step.ts");
  writeFileSync(module, JAVASCRIPT);
  await work({
    manager,
    module,
    countOf: (library, change) => changes.filter((one) => one === `${library} ${change}`).length,
  });
}

test("Two libraries whose instances do not fit a worker together take turns", () =>
  withWorker(
    { cores: 1, policies: { libraryTurn: "50ms" } },
    async ({ manager, module, countOf }) => {
      const libraries = [
        manager.library({ name: "one", module, cores: 1 }),
        manager.library({ name: "other", python: PYTHON, mode: "fork", cores: 1 }),
      ];
      let isOver = false;
      const ended = new Map(libraries.map((library) => [library, 0]));
      // Calls of both keep coming until both have had turns.
      const callAgain = async (library: Library) => {
        for (let n = 0; !isOver; n++) {
          expect(await library.call<number>("step", n).value()).toBe(n + 1);
          ended.set(library, 1 + (ended.get(library) ?? 0));
        }
      };
      const callers = libraries.flatMap((library) =>
        Array.from({ length: 10 }, () => callAgain(library))
      );
      const haveTurns = until(
        () => libraries.every(({ name }) => countOf(name, "ready") >= 2),
        "both had two turns",
      ).finally(() => isOver = true);
      await Promise.all([haveTurns, ...callers]);
      for (const count of ended.values()) expect(count).toBeGreaterThanOrEqual(10);
    },
  ), 40_000);

test("Instances that are wanted ahead are ready before there is a call, and stay", () =>
  withWorker(
    { cores: 2, policies: { libraryIdleTimeout: "50ms" } },
    async ({ manager, module, countOf }) => {
      const ahead = manager.library({ name: "ahead", python: PYTHON, instances: 2, cores: 1 });
      await until(() => countOf("ahead", "ready") === 2, "both instances are ready");
      // Of another one, there is not for long what no call needs: that does not touch these.
      await manager.library({ name: "brief", module, cores: 0 }).call("step", 1);
      await until(() => countOf("brief", "stopped") === 1, "the idle instance has left");
      expect(await ahead.call<number>("step", 1).value()).toBe(2);
      expect([countOf("ahead", "starting"), countOf("ahead", "stopped")]).toEqual([2, 0]);
    },
  ), 40_000);

test(
  "An idle instance leaves for a task that needs its room, and comes back for a call",
  () =>
    withWorker(
      { cores: 1, policies: { libraryIdleTimeout: 0 } },
      async ({ manager, countOf }) => {
        const library = manager.library({ name: "idle", python: PYTHON, cores: 1 });
        expect(await library.call<number>("step", 1).value()).toBe(2);
        expect((await manager.submit({ command: "echo room", cores: 1 })).stdout).toBe("room\n");
        expect(countOf("idle", "stopped")).toBe(1);
        expect(await library.call<number>("step", 2).value()).toBe(3);
        expect(countOf("idle", "ready")).toBe(2);
      },
    ),
  120_000,
);
