/** A process that owns a workspace, a watcher and one task; told its command, it runs until killed. */

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type { TaskId } from "../../shared/ids.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import { NO_DEVICES } from "../../worker/core/device.ts";
import { TaskProcesses } from "../../worker/process.ts";
import { Sandboxes } from "../../worker/sandbox.ts";
import { NO_ACTIVATION } from "../../worker/task_environment.ts";
import { Watcher } from "../../worker/watcher.ts";
import { openWorkspace } from "../../worker/workspace.ts";

const [directory = "", hasWatcher, command = ""] = process.argv.slice(2);
const workspace = await openWorkspace({ directory, name: "test", env: {} });
const entry = fileURLToPath(new URL("watch_entry.ts", import.meta.url).href);
const watcher = hasWatcher === "watched"
  ? new Watcher({
    command: [process.execPath, entry],
    mark: workspace.mark,
    sandboxesPath: workspace.sandboxesPath,
    onTrouble: (message) => process.stderr.write(`${message}\n`),
  })
  : undefined;
const sandboxes = new Sandboxes(workspace.sandboxesPath, workspace.trash);
const processes = await TaskProcesses.open({
  mark: workspace.mark,
  env: process.env,
  watcher: watcher ?? { groupStarted: () => {}, groupEnded: () => {} },
});
const id = { taskId: 1 as TaskId, try: 1 };
const sandbox = await sandboxes.create({ ...id, inputs: [], outputs: [] });
mkdirSync(`${workspace.temporaryPath}/left`);
processes.start({
  ...id,
  command,
  directory: sandbox.directory,
  temporaryDirectory: sandbox.temporaryDirectory,
  stdout: sandbox.descriptor("stdout"),
  stderr: sandbox.descriptor("stderr"),
  env: {},
  activation: NO_ACTIVATION,
  resources: { ...NO_RESOURCES, cores: 1 },
  memoryBytesMax: Infinity,
  devices: NO_DEVICES,
});
const facts = {
  mark: workspace.mark,
  workerId: workspace.workerId,
  path: workspace.path,
  sandbox: sandbox.directory,
  sandboxesPath: workspace.sandboxesPath,
  watcherId: watcher?.processId,
};
process.stdout.write(`${JSON.stringify(facts)}\n`);
// Until it is killed; a day is longer than any test.
setInterval(() => {}, 86_400_000);
