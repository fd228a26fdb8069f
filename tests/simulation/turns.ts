/**
 * Calls of libraries of which only one instance fits a worker, among tasks that need all of a worker
 * too: each has its turn. One library needs a temp, one is kept running, one needs both at times.
 */

import type { LibrarySpec, TaskTemplate } from "../../manager/core/event.ts";
import type { CacheName, FileId, TaskId } from "../../shared/ids.ts";
import { NO_ARGUMENTS } from "../../shared/library.ts";
import { nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import { NO_RESOURCES } from "../../shared/resources.ts";
import { digestOf } from "./contents.ts";
import { declareTemp, emptyWorkload, type Workload } from "./workload.ts";

/** Cores of the workers that the workload is made for. */
export const TURNS_CORES = 2;

const MODULE = 1 as FileId;
/** What the first two tasks make. */
const TEMPS = [2 as FileId, 3 as FileId] as const;

/** What tasks are, one after the other: calls of a library by its name, or commands by their cores. */
const KINDS = ["wide", "deep", "wide", "deep", 2, "wide", "kept", "deep", 1] as const;

/** The first ones make what libraries need; see `KINDS`. */
export function kindOf(taskId: TaskId): (typeof KINDS)[number] {
  return taskId <= TEMPS.length ? 1 : KINDS[taskId % KINDS.length] ?? 1;
}

/** Makes the workflow; `isRanked` gives tasks priorities. */
export function newTurns(
  random: RandomState,
  { taskCount, isRanked }: { readonly taskCount: number; readonly isRanked: boolean },
): Workload {
  const workload = emptyWorkload();
  declareFiles(workload);
  for (const library of LIBRARIES) {
    workload.declarations.push({ kind: "library_declared", library });
  }
  const templates = new Map(KINDS.map((kind) => [kind, templateOf(kind)]));
  for (let id = 1; id <= taskCount; id++) {
    const made = TEMPS[id - 1];
    const kind = kindOf(id as TaskId);
    const isCall = typeof kind === "string";
    workload.tasks.push({
      taskId: id as TaskId,
      template: templates.get(kind) ?? templateOf(kind),
      environments: [],
      features: [],
      body: isCall
        ? { kind: "call", function: "f", arguments: new Uint8Array(0) }
        : { kind: "command", command: "true" },
      inputs: isCall && nextRandom(random) < 0.2 ? [{ mount: "in", fileId: TEMPS[0] }] : [],
      outputs: made === undefined ? [] : [{ mount: "out", fileId: made }],
      priority: isRanked ? nextRandomBelow(random, 3) : 0,
      retries: 100,
      workerLosses: 100,
    });
  }
  return workload;
}

function templateOf(kind: (typeof KINDS)[number]): TaskTemplate {
  const isCall = typeof kind === "string";
  return {
    request: isCall ? {} : { cores: kind },
    category: "default",
    env: {},
    minTimeMs: 0,
    // Longer than any try that ends by itself.
    timeoutMs: 8_000,
    ...(isCall ? { library: kind } : {}),
  };
}

const COMMON = {
  program: { kind: "javascript", module: MODULE },
  mode: "direct",
  context: "",
  contextArguments: NO_ARGUMENTS,
  slots: 1,
  instanceCount: 0,
  env: {},
  environments: [],
  inputs: [],
} as const;

const LIBRARIES: readonly LibrarySpec[] = [
  {
    ...COMMON,
    name: "wide",
    mode: "fork",
    slots: 3,
    resources: { ...NO_RESOURCES, cores: TURNS_CORES },
    inputs: [{ mount: "first", fileId: TEMPS[0] }, { mount: "second", fileId: TEMPS[1] }],
  },
  {
    ...COMMON,
    name: "deep",
    resources: { ...NO_RESOURCES, cores: TURNS_CORES },
  },
  {
    ...COMMON,
    name: "kept",
    slots: 2,
    instanceCount: 2,
    resources: { ...NO_RESOURCES, cores: 1 },
    inputs: [{ mount: "second", fileId: TEMPS[1] }],
  },
];

function declareFiles(workload: Workload): void {
  const name = "source-8" as CacheName;
  const digest = digestOf(name);
  workload.declared.set(MODULE, digest);
  workload.names.set(MODULE, name);
  workload.declarations.push({
    kind: "file_declared",
    fileId: MODULE,
    origin: { kind: "manager" },
    level: "workflow",
    peerTransfer: true,
    bound: { name, sizeBytes: 1_000, digest, isDirectory: false, isExecutable: false },
  });
  for (const [index, fileId] of TEMPS.entries()) {
    const tempName = `temp-${index + 1}-0` as CacheName;
    declareTemp(workload, fileId, tempName);
  }
}
