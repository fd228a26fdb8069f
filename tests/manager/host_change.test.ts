import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { hostChange, tellHosts, workersReleased } from "../../manager/host_change.ts";
import { Manager } from "../../manager/manager.ts";
import type { Fact } from "../../manager/core/fact.ts";
import { describeUnplaceable } from "../../manager/unplaceable_note.ts";
import { StandardError } from "../standard_error.ts";

test("hostChange() reads a time, and says what is wrong with it", () => {
  expect(hostChange("block", "north", { for: "10m" }).forMs).toBe(600_000);
  expect(hostChange("block", "north").forMs).toBe(Infinity);
  expect(() => hostChange("block", "")).toThrow("Cannot take the name of a host");
  expect(() => hostChange("block", "north", { for: "long" })).toThrow(
    "Cannot read for of blockHost",
  );
  expect(() => workersReleased(-1)).toThrow("Cannot take count of releaseWorkers");
});

test("tellHosts() says once what the manager did to a host by itself", () => {
  const fact: Fact = {
    kind: "host_blocked",
    host: "north",
    reason: "it failed",
    isByHand: false,
    forMs: 60_000,
  };
  using heard = new StandardError();
  tellHosts([fact, { ...fact, isByHand: true }]);
  expect(heard.text).toBe('tendril: host "north" is given nothing for 1 m: it failed\n');
});

test("tellHosts() and describeUnplaceable() keep what is named elsewhere on their lines", () => {
  const evil = 'a\u001b[2J\n{"event":"made up"}';
  using heard = new StandardError();
  tellHosts([{ kind: "host_blocked", host: evil, reason: evil, isByHand: false }]);
  const shown = 'a[2J {"event":"made up"}';
  expect(heard.text).toBe(`tendril: host "${shown}" is given nothing: ${shown}\n`);
  const missing = { kind: "feature", name: evil } as const;
  const told = { category: evil, taskCount: 1, missing, workerCount: 1 };
  expect(describeUnplaceable(told)).toBe(
    `1 task of category "${shown}" needs feature "${shown}": the only worker lacks it`,
  );
});

test("blockHost(), drainHost() and unblockHost() are facts, be they asked for here or from afar", async () => {
  const home = await mkdtemp(join(tmpdir(), "tendril-hosts-"));
  process.env["TENDRIL_HOME"] = home;
  try {
    await using manager = await Manager.start();
    await using remote = await Manager.connect({});
    for (const owner of [manager, remote]) {
      const heard: string[] = [];
      const done = Promise.withResolvers<void>();
      const stop = manager.subscribe((facts) => {
        for (const fact of facts) {
          if ("host" in fact) heard.push(`${fact.kind} ${fact.host}`);
          if (fact.kind === "host_unblocked") done.resolve();
        }
      });
      await owner.blockHost("north", { for: "1h" });
      await owner.drainHost("north");
      await owner.unblockHost("north");
      await owner.releaseWorkers(1);
      await done.promise;
      stop();
      expect(heard).toEqual(["host_blocked north", "host_draining north", "host_unblocked north"]);
    }
  } finally {
    delete process.env["TENDRIL_HOME"];
    await rm(home, { recursive: true, force: true });
  }
});
