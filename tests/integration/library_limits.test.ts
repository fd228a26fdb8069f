import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import process from "node:process";

import { Manager } from "../../mod.ts";
import { Scratch } from "./scratch.ts";

/** A library that takes what it is told to. */
const GREEDY = `
import { appendFileSync } from "node:fs";
const kept: Uint8Array[] = [];
export async function write(bytes: number): Promise<number> {
  const part = new Uint8Array(1e6).fill(1);
  for (let left = bytes; left > 0; left -= 1e6) {
    appendFileSync("spilt", part);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return bytes;
}
export async function fill(bytes: number, ms: number): Promise<number> {
  for (let left = bytes; left > 0; left -= 1e7) {
    kept.push(new Uint8Array(1e7).fill(left % 255 + 1));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await new Promise((resolve) => setTimeout(resolve, ms));
  return kept.length;
}
export const add = (a: number, b: number): number => a + b;
`;

function greedyModule(scratch: Scratch): string {
  const path = scratch.path("greedy.ts");
  writeFileSync(path, GREEDY);
  return path;
}

test(
  "A call that writes more than its worker has of disk ends as that, and its library is named",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager, { args: ["--disk", "40MB"] });
    const library = manager.library({ name: "greedy", module: greedyModule(scratch) });
    expect(await library.call<number>("add", 1, 2).value()).toBe(3);
    const { outcome, message } = await library.call("write", 300_000_000);
    process.stdout.write(`${message}\n`);
    expect(outcome).toBe("disk_full");
    expect(message).toMatch(
      /The instance of library "greedy" was stopped: its directory had \d+ MB on the disk, .* the 40 MB of disk of this worker/,
    );
    expect(await library.call<number>("write", 1_000_000).value()).toBe(1_000_000);
    expect(worker.child.exitCode).toBe(null);
  },
  120_000,
);

test(
  "A call that has more in memory than its library states ends as that, and others go on",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager, { args: ["--memory", "4GB"], cores: 2 });
    const library = manager.library({
      name: "greedy",
      module: greedyModule(scratch),
      memory: "400MB",
    });
    const beside = manager.submit({ command: "sleep 1; echo on", cores: 1 });
    const greedy = library.call("fill", 2_000_000_000, 60_000);
    const modest = Array.from({ length: 20 }, (_, index) => library.call<number>("add", index, 1));
    const { outcome, message } = await greedy;
    process.stdout.write(`${message}\n`);
    expect(outcome).toBe("resources_exhausted");
    expect(message).toMatch(
      /^The instance of library "greedy" was stopped: its processes had \d+ MB of memory in use, 400 MB were stated for it$/,
    );
    const sums = await Promise.all(modest.map((call) => call.value()));
    expect(sums).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect((await beside).stdout).toBe("on\n");
    expect(worker.child.exitCode).toBe(null);
  },
  120_000,
);

test(
  "Instances and tasks that have more than all of the memory are stopped one by one",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    const worker = await scratch.worker(manager, { args: ["--memory", "600MB"], cores: 2 });
    const library = manager.library({ name: "greedy", module: greedyModule(scratch) });
    const beside = manager.submit({ command: "sleep 3; echo on", cores: 1 });
    const { outcome, message } = await library.call("fill", 1_500_000_000, 60_000);
    process.stdout.write(`${message}\n`);
    expect(outcome).toBe("resources_exhausted");
    expect(message).toContain('library "greedy" was stopped');
    expect(message).toContain("more than this worker has");
    expect((await beside).stdout).toBe("on\n");
    expect(await library.call<number>("add", 1, 2).value()).toBe(3);
    expect(worker.child.exitCode).toBe(null);
  },
  120_000,
);

/** A model of 200 MB that every forked call shares. */
const FORKED = `
import os, time
import tendril

def load():
    return {"model": bytearray(os.urandom(1) * 200_000_000)}

def fill(size):
    part = bytearray(os.urandom(1) * size)
    time.sleep(30)
    return len(part)

def spill(size):
    with open("spilt", "wb") as file:
        file.write(b"x" * size)
    time.sleep(30)

def peek(after):
    time.sleep(after)
    return len(tendril.context["model"])
`;

test(
  "A forked call beyond the memory or disk that it states ends alone; what it shares is not its own",
  async () => {
    await using scratch = await Scratch.open();
    await using manager = await Manager.start();
    await scratch.worker(manager, { args: ["--cores", "4"] });
    const library = manager.library({
      name: "forked",
      python: FORKED,
      context: "load",
      mode: "fork",
      slots: 4,
    });
    const small = library.with({ cores: 0.5, memory: "60MB", disk: "5MB" });
    const others = [0.2, 1].map((after) => small.call<number>("peek", after));
    const [filled, spilt] = await Promise.all([
      small.call("fill", 150_000_000),
      small.call("spill", 30_000_000),
    ]);
    expect(filled).toMatchObject({ outcome: "resources_exhausted", exceeded: { limit: 60e6 } });
    expect(spilt).toMatchObject({ outcome: "resources_exhausted", exceeded: { limit: 5e6 } });
    for (const other of others) expect(await other.value()).toBe(200_000_000);
    const { used } = await small.call("peek", 0.5);
    expect(used?.memoryBytes).toBeLessThan(60e6);
    expect(used?.memoryBytes).toBeGreaterThan(0);
  },
  120_000,
);
