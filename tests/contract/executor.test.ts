import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import type { Executor } from "../../manager/dataflow/executor.ts";
import { inProcess } from "../../manager/dataflow/in_process.ts";
import { localProcesses } from "../../manager/dataflow/local_processes.ts";
import { ManagerExecutor } from "../../manager/dataflow/manager_executor.ts";
import { Manager } from "../../manager/manager.ts";
import type { TaskId } from "../../shared/ids.ts";
// Local workers are processes of the binary.
import "../binary/built.ts";
import { type OpenedExecutor, testExecutor } from "./executor.ts";

function alone(executor: Executor): Promise<OpenedExecutor> {
  let lastId = 0;
  return Promise.resolve({
    executor,
    newId: () => ++lastId as TaskId,
    [Symbol.asyncDispose]: () => executor.close(),
  });
}

async function managed(): Promise<OpenedExecutor> {
  const folder = mkdtempSync(join(tmpdir(), "tendril-contract-"));
  const homeBefore = process.env["TENDRIL_HOME"];
  process.env["TENDRIL_HOME"] = join(folder, "home");
  const manager = await Manager.start({
    runDirectory: join(folder, "run"),
    workers: { count: 1, cores: 2 },
  });
  const executor = new ManagerExecutor(manager);
  return {
    executor,
    newId: () => manager.newCallId(),
    [Symbol.asyncDispose]: async () => {
      await executor.close();
      await manager.close();
      if (homeBefore === undefined) delete process.env["TENDRIL_HOME"];
      else process.env["TENDRIL_HOME"] = homeBefore;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

testExecutor({ name: "ManagerExecutor", open: managed, hasProcesses: true });

testExecutor({
  name: "localProcesses()",
  open: () => alone(localProcesses({ count: 2 })),
  hasProcesses: true,
});

testExecutor({ name: "inProcess()", open: () => alone(inProcess()), hasProcesses: false });
