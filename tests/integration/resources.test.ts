import { expect, test } from "bun:test";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { promisify } from "node:util";

import { Manager } from "../../mod.ts";
import { parseCpuList } from "../../worker/cpu_list.ts";
import { BINARY } from "../binary/built.ts";
import { Scratch, until } from "./scratch.ts";

const status = readFileSync("/proc/self/status", "utf8");
const cpus = parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "");

/** A library whose function says which processors its process may run on. */
const SEE_CPUS = `import { readFileSync } from "node:fs";
export const see = () => /Cpus_allowed_list:\\s*(\\S+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
`;

/** A command that goes on only once another try is at the same place, and then says `said`. */
function together(folder: string, count: number, said: string): string {
  return `touch ${folder}/$TENDRIL_TASK_ID; ` +
    `while [ $(ls ${folder} | wc -l) -lt ${count} ]; do sleep 0.01; done; ${said}`;
}

test("A worker gives each task GPUs of its own, and shows none to a task without", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({});
  const env = { CUDA_VISIBLE_DEVICES: "2,GPU-5c89852c,7" };
  await scratch.worker(manager, { cores: 4, args: ["--gpus", "2"], env });
  execFileSync("mkdir", [scratch.path("met")]);
  const said = 'echo "$CUDA_VISIBLE_DEVICES/$GPUS/$GPUS_LIST"';
  const command = together(scratch.path("met"), 2, said);
  const both = [manager.submit({ command, gpus: 1 }), manager.submit({ command, gpus: 1 })];
  const seen = (await Promise.all(both)).map(({ stdout }) => stdout);
  expect(seen.toSorted()).toEqual(["2/1/2\n", "GPU-5c89852c/1/GPU-5c89852c\n"]);
  const pair = await manager.submit({ command: said, gpus: 2 });
  expect(pair.stdout).toBe("2,GPU-5c89852c/2/2,GPU-5c89852c\n");
  const none = await manager.submit({ command: said });
  expect(none.stdout).toBe("//\n");
  const own = await manager.submit({ command: said, env: { CUDA_VISIBLE_DEVICES: "9" } });
  expect(own.stdout).toBe("9//\n");
}, 120_000);

test("A library has a GPU of its own, beside the tasks", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({ workers: { count: 1, cores: 2, gpus: 2 } });
  const module = scratch.path("seeing.ts");
  writeFileSync(module, 'export const see = () => process.env["CUDA_VISIBLE_DEVICES"];');
  const library = manager.library({ name: "seeing", module, gpus: 1, cores: 1 });
  const seen = await library.call("see").value();
  const { stdout } = await manager.submit({ command: "echo $CUDA_VISIBLE_DEVICES", gpus: 1 });
  expect([seen, stdout.trim()].toSorted()).toEqual(["0", "1"]);
}, 120_000);

test.skipIf(cpus.length < 2)("--pin-cores gives each task processors of its own", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({});
  await scratch.worker(manager, { cores: 2, args: ["--pin-cores"] });
  execFileSync("mkdir", [scratch.path("met")]);
  const said = 'grep Cpus_allowed_list /proc/self/status; echo "$CORES_LIST"';
  const command = together(scratch.path("met"), 2, said);
  const both = [manager.submit({ command, cores: 1 }), manager.submit({ command, cores: 1 })];
  const seen = (await Promise.all(both)).map(({ stdout }) => stdout);
  expect(seen.toSorted()).toEqual(
    cpus.slice(0, 2).map((cpu) => {
      return `Cpus_allowed_list:\t${cpu}\n${cpu}\n`;
    }),
  );
  const mini = manager.miniTask({ command: `{ ${said}; } > seen`, cores: 1 }, "seen");
  const made = await manager.submit({ command: "cat seen", inputs: { seen: mini }, cores: 2 });
  expect(made.stdout).toBe(`Cpus_allowed_list:\t${cpus[0]}\n${cpus[0]}\n`);
  const module = scratch.path("pinned.ts");
  writeFileSync(module, SEE_CPUS);
  const library = manager.library({ name: "pinned", module, cores: 1 });
  expect(await library.call("see").value()).toBe(String(cpus[0]));
}, 120_000);

test("A worker says with --verbose what it offers, and where that comes from", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({});
  const env = { MEMORY: "1000", CORES: "abc", SLURM_CPUS_ON_NODE: "4(x2)" };
  const args = ["--disk", "1GB", "--resource", "license=2"];
  const worker = await scratch.worker(manager, { env, args, prefix: ["taskset", "-c", "0"] });
  await until(() => worker.said().includes("offers"), "it says what it offers");
  expect(worker.said()).toContain('Cannot read CORES "abc" as a number above 0: it is passed over');
  expect(worker.said()).toContain('Cannot read SLURM_CPUS_ON_NODE "4(x2)" as a whole number');
  expect(worker.said()).toContain(
    "offers 1 cores (--cores), 1.05 GB memory (MEMORY), 1 GB disk (--disk), ",
  );
  expect(worker.said()).toContain(", 2 license (--resource)");
}, 120_000);

test("Local workers offer what the manager is told, and share the rest evenly", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({
    workers: { count: 2, cores: 1, gpus: 1, resources: { license: 1 }, features: ["fast"] },
  });
  execFileSync("mkdir", [scratch.path("met")]);
  const command = together(scratch.path("met"), 2, 'echo "$CUDA_VISIBLE_DEVICES $CORES"');
  const wanted = { command, gpus: 1, cores: 1, resources: { license: 1 }, features: ["fast"] };
  const results = await Promise.all([manager.submit(wanted), manager.submit(wanted)]);
  expect(results.map(({ stdout }) => stdout).toSorted()).toEqual(["0 1\n", "1 1\n"]);
}, 120_000);

test("tendril workers shows resources that the site has names for", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({});
  await scratch.worker(manager, { args: ["--resource", "license=2", "--resource", "scratch=1"] });
  const release = scratch.path("release");
  const held = manager.submit({
    command: `until [ -e ${release} ]; do sleep 0.01; done`,
    resources: { license: 1 },
  });
  await until(() => held.state === "running", "the task runs");
  const show = async (...options: string[]) => {
    const args = ["workers", "--name", manager.name, ...options];
    return (await promisify(execFile)(BINARY, args)).stdout;
  };
  expect(await show()).toMatch(/ OTHERS .*\n.* license 1\/2,scratch 0\/1 /);
  const { workers } = JSON.parse(await show("--json"));
  expect(workers[0].resources.custom).toEqual({ license: 2, scratch: 1 });
  expect(workers[0].committed.custom).toEqual({ license: 1 });
  writeFileSync(release, "");
  expect((await held).outcome).toBe("success");
}, 120_000);

test("A worker hands back its tasks and leaves before its batch job ends", async () => {
  await using scratch = await Scratch.open();
  await using manager = await Manager.start({});
  const env = { SLURM_JOB_END_TIME: String(Math.ceil(Date.now() / 1000) + 2) };
  const worker = await scratch.worker(manager, { env });
  const task = manager.submit({ command: "[ $TENDRIL_TRY = 1 ] && sleep 600; true" });
  expect(await worker.ended).toBe(0);
  expect(worker.said()).toMatch(/offers .*, for 1\.\d* s|offers .*, for 2\.\d* s/);
  expect(worker.said()).toContain("its batch job ends in");
  await scratch.worker(manager);
  const { outcome, try: last } = await task;
  expect([outcome, last]).toEqual(["success", 2]);
}, 120_000);

test("tendril worker refuses amounts that it cannot read or have, and says what is wanted", async () => {
  await using _scratch = await Scratch.open();
  const wrong = [
    [["--cores", "-1"], 'Cannot read --cores "-1" as a number above 0'],
    [["--resource", "license"], "it states no amount, as license=2 does"],
    [["--resource", "cores=4"], '"cores" is no name of a resource'],
  ] as const;
  for (const [args, message] of wrong) {
    const { status, stderr } = spawnSync(BINARY, ["worker", ...args], { encoding: "utf8" });
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
  }
  const run = (args: string[], env: Record<string, string> = {}) => {
    const given = ["worker", "--name", "none", "--idle-timeout", "100ms", ...args];
    const options = { encoding: "utf8", env: { ...process.env, ...env } } as const;
    const { status, stderr } = spawnSync(BINARY, given, options);
    return `${status} ${stderr}`;
  };
  expect(run(["--gpus", "2"], { CUDA_VISIBLE_DEVICES: "3" })).toBe(
    "1 tendril worker: Cannot offer 2 GPUs, as --gpus says: CUDA_VISIBLE_DEVICES names 1 for this " +
      "worker\n",
  );
  expect(run(["--pin-cores", "--cores", "9999"])).toStartWith(
    "1 tendril worker: Cannot pin 9999 cores, as --pin-cores says: this worker may run on ",
  );
  const { stdout } = spawnSync(BINARY, ["worker", "--help"], { encoding: "utf8" });
  expect(stdout).toContain("The first of these that says something wins:");
});
