import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";

import { openCpuPinner } from "../../shared/runtime/affinity.ts";
import { parseCpuList } from "../../worker/cpu_list.ts";
import { TaskFixture } from "./task_fixture.ts";

const pinner = await openCpuPinner();
const own = process.platform === "linux" ? readFileSync("/proc/self/status", "utf8") : "";
const cpus = parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(own)?.[1] ?? "");

test.skipIf(pinner === undefined || cpus.length < 2)(
  "start() runs a task and all that it starts on the processors that it has",
  async () => {
    await using fixture = await TaskFixture.open({ pinner: pinner! });
    const look = "grep Cpus_allowed_list /proc/self/status; sh -c 'setsid nproc' & wait; nproc";
    for (const cpu of cpus.slice(0, 2)) {
      const { stdout } = await fixture.run(look, { cpus: [cpu], cores: 1 });
      expect(stdout).toBe(`Cpus_allowed_list:\t${cpu}\n1\n1\n`);
    }
    const free = await fixture.run("nproc");
    expect(free.stdout).toBe(`${cpus.length}\n`);
    // The worker itself is where it was.
    expect(readFileSync("/proc/thread-self/status", "utf8")).toContain(
      /^Cpus_allowed_list:.*$/m.exec(own)?.[0] ?? "nowhere",
    );
  },
);

test.skipIf(pinner === undefined || cpus.length < 2)(
  "run() leaves this process on the processors that it was given meanwhile",
  () => {
    const allowed = () => {
      const text = readFileSync("/proc/thread-self/status", "utf8");
      return parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(text)?.[1] ?? "");
    };
    const [first = 0, second = 0] = cpus;
    const within = pinner!.run([first], () => pinner!.run([second], () => allowed()));
    expect(within).toEqual([second]);
    // As if somebody had moved it before it starts the next one.
    pinner!.run([first], () => {
      pinner!.run([second], () => {});
      expect(allowed()).toEqual([first]);
    });
    expect(allowed()).toEqual(cpus);
  },
);

test.skipIf(pinner === undefined)("run() starts what it can where a processor is gone", () => {
  expect(pinner!.run([8_191], () => 7)).toBe(7);
});
