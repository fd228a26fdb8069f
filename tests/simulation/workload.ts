/** Random workflows: files of every kind, a graph of tasks over them, and calls of a library. */

import type {
  FileOrigin,
  LibrarySpec,
  ManagerEvent,
  TaskDefinition,
  TaskTemplate,
} from "../../manager/core/event.ts";
import { PLACEMENTS } from "../../manager/core/policy.ts";
import type { CacheName, FileId, TaskId } from "../../shared/ids.ts";
import { NO_ARGUMENTS } from "../../shared/library.ts";
import { nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import { NO_RESOURCES, type ResourceRequest } from "../../shared/resources.ts";
import { digestOf, type MiniTask } from "./contents.ts";
import type { TryPlan } from "./world.ts";

/** A workflow as the shell would submit it. */
export interface Workload {
  readonly declarations: ManagerEvent[];
  readonly tasks: TaskDefinition[];
  /** Contents of what is not made by tasks. */
  readonly declared: Map<FileId, string>;
  readonly names: Map<FileId, CacheName>;
  readonly temps: FileId[];
  /** Outputs that go to urls: later tasks read them as they read temps. */
  readonly stored: FileId[];
  readonly minis: MiniTask[];
  /** How tries of some tasks go, whenever they run. */
  readonly plans: Map<TaskId, TryPlan>;
  /** What users say while the workflow runs. */
  readonly later: { readonly atMs: number; readonly event: ManagerEvent }[];
}

/** How large a workflow is, and how forgiving. */
export interface WorkloadOptions {
  readonly taskCount: number;
  readonly retries: number;
  readonly workerLosses: number;
  /** Chance that inputs that are temps are strict; and that a task has a time of its own. */
  readonly strictChance?: number;
  readonly timedChance?: number;
  /** See `Scenario`. */
  readonly hasCategories: boolean;
  readonly isVaried?: boolean;
}

/** A workflow of nothing yet. */
export function emptyWorkload(): Workload {
  return {
    declarations: [],
    tasks: [],
    declared: new Map(),
    names: new Map(),
    temps: [],
    stored: [],
    minis: [],
    plans: new Map(),
    later: [],
  };
}

/** Makes a workflow out of the generator's numbers. */
export function newWorkload(random: RandomState, options: WorkloadOptions): Workload {
  const { strictChance = 0, timedChance = 0 } = options;
  const workload = emptyWorkload();
  const sources: FileId[] = [];
  let lastFile = 0;
  const newFile = (): FileId => ++lastFile as FileId;
  for (let index = 0; index < 4; index++) {
    sources.push(declareSource(workload, newFile(), index));
  }
  const archive = declareSource(workload, newFile(), 9);
  const environment = declareRecipe(workload, newFile(), archive);
  const library: LibrarySpec = {
    name: "library",
    program: { kind: "javascript", module: declareSource(workload, newFile(), 8) },
    mode: "direct",
    context: "",
    contextArguments: NO_ARGUMENTS,
    slots: 2,
    instanceCount: 0,
    resources: { ...NO_RESOURCES, cores: 1 },
    env: {},
    environments: nextRandom(random) < 0.5 ? [environment] : [],
    inputs: [],
  };
  workload.declarations.push({ kind: "library_declared", library });
  const minis = [
    declareMini(workload, newFile(), { inputs: sources.slice(0, 2), peerTransfer: true }),
  ];
  const templates = newTemplates();
  let lastCall: TaskId | undefined;
  for (let id = 1; id <= options.taskCount; id++) {
    const isCall = nextRandom(random) < 0.25;
    const isTimed = timedChance > 0 && nextRandom(random) < timedChance;
    const usesEnvironment = !isCall && nextRandom(random) < 0.2;
    const { narrow, wide } = usesEnvironment ? templates.withEnvironment : templates.bare;
    const call = nextRandom(random) < 0.3 ? templates.ownCall : templates.call;
    const template = isCall ? call : nextRandom(random) < 0.3 ? wide : narrow;
    const made = [...workload.temps.slice(-8), ...workload.stored.slice(-2)];
    const inputs = chooseInputs(random, [...sources, ...minis, ...made]);
    const outputs = isCall ? [] : declareOutputs(workload, { random, taskId: id, newFile });
    // Some are made of temps, and of one another.
    if (id % 10 === 9) {
      const made = chooseInputs(random, [...minis.slice(-1), ...workload.temps.slice(-4)]);
      const peerTransfer = nextRandom(random) < 0.5;
      minis.push(declareMini(workload, newFile(), { inputs: made, peerTransfer }));
    }
    const category = options.hasCategories && !isCall
      ? CATEGORIES[id % CATEGORIES.length]
      : undefined;
    if (category !== undefined) planMemory(workload, random, id as TaskId);
    const wished = category === undefined ? template : templates.of(template, category);
    const { wishes, ...given } = varied(options.isVaried === true && !isCall, random, id);
    workload.tasks.push({
      taskId: id as TaskId,
      template: templates.with(wished, wishes),
      environments: usesEnvironment ? [environment] : [],
      features: [],
      ...given,
      body: isCall
        ? { kind: "call", function: "f", arguments: new Uint8Array(0) }
        : { kind: "command", command: "true" },
      inputs: inputs.map((fileId, index) => {
        const isStrict = !isCall && workload.temps.includes(fileId) && strictChance > 0 &&
          nextRandom(random) < strictChance / inputs.length;
        return { mount: `in${index}`, fileId, ...(isStrict ? { isStrict } : {}) };
      }),
      ...(isCall && id % 2 === 0 && lastCall !== undefined ? { awaits: [lastCall] } : {}),
      ...(isTimed ? { startsAtMs: id * 10 + nextRandom(random) * 4_000 } : {}),
      outputs,
      priority: nextRandomBelow(random, 3),
      retries: options.retries,
      workerLosses: options.workerLosses,
    });
    if (isCall) lastCall = id as TaskId;
  }
  return workload;
}

interface Widths {
  readonly narrow: TaskTemplate;
  readonly wide: TaskTemplate;
}

/** Tasks that share a template share its environments. */
function newTemplates(): {
  bare: Widths;
  withEnvironment: Widths;
  call: TaskTemplate;
  /** With something beside what its instance has. */
  ownCall: TaskTemplate;
  of: (template: TaskTemplate, category: string) => TaskTemplate;
  with: (template: TaskTemplate, wishes: Wishes | undefined) => TaskTemplate;
} {
  const ofCategories = new Map<string, TaskTemplate>();
  const ofWishes = new Map<TaskTemplate, Map<string, TaskTemplate>>();
  const narrow: TaskTemplate = {
    request: { cores: 1 },
    category: "default",
    env: {},
    minTimeMs: 0,
    // Longer than any try that ends by itself.
    timeoutMs: 8_000,
  };
  const wide = { ...narrow, request: { cores: 2 } };
  const call = { ...narrow, request: {}, category: "library", library: "library" };
  return {
    bare: { narrow, wide },
    withEnvironment: { narrow: { ...narrow }, wide: { ...wide } },
    call,
    ownCall: { ...call, request: { cores: 1 } },
    of: (template, category) => {
      // Half of the categories state no cores.
      const request = category < "c" ? {} : template.request;
      const key = JSON.stringify([category, request]);
      const known = ofCategories.get(key) ?? { ...template, request, category };
      ofCategories.set(key, known);
      return known;
    },
    with: (template, wishes) => {
      if (wishes === undefined) return template;
      const { minTimeMs, placement, ...request } = wishes;
      const alike = ofWishes.get(template) ?? new Map<string, TaskTemplate>();
      ofWishes.set(template, alike);
      const key = JSON.stringify(wishes);
      const known = alike.get(key) ?? {
        ...template,
        request: { ...template.request, ...request },
        minTimeMs,
        ...(placement === undefined ? {} : { placement }),
      };
      alike.set(key, known);
      return known;
    },
  };
}

/** What some tasks want of their worker beside room. */
interface Wishes extends Pick<ResourceRequest, "custom" | "memoryBytes"> {
  readonly minTimeMs: number;
  readonly placement?: TaskTemplate["placement"];
}

/** Some want a feature, a license, memory, time or a rule of their own; some have to end in time. */
function varied(
  isVaried: boolean,
  random: RandomState,
  id: number,
): { readonly wishes?: Wishes; readonly features?: string[]; readonly endsAtMs?: number } {
  if (!isVaried) return {};
  const drawn = nextRandom(random);
  const endsAtMs = id * 10 + 3_000 + nextRandom(random) * 10_000;
  return {
    ...(drawn < 0.15 ? { features: ["rich"] } : {}),
    ...(drawn > 0.9 ? { endsAtMs } : {}),
    wishes: {
      minTimeMs: drawn > 0.5 && drawn < 0.6 ? 1_000 : 0,
      ...(id % 5 === 0 ? { custom: { license: 1 + id % 2 } } : {}),
      ...(id % 11 === 0 ? { memoryBytes: 9e9 } : {}),
      ...(id % 7 === 0 ? { placement: PLACEMENTS[id % PLACEMENTS.length]! } : {}),
    },
  };
}

/** Names of categories that tasks are of, one after the other. */
export const CATEGORIES = ["a", "b", "c", "d"] as const;

/** What one uses in the end: one in ten much of a worker. */
function planMemory(workload: Workload, random: RandomState, taskId: TaskId): void {
  const isLarge = nextRandom(random) < 0.1;
  const peakBytes = Math.round((isLarge ? 6e9 : 1e9) * (0.5 + nextRandom(random)));
  workload.plans.set(taskId, {
    outcome: "success",
    ranMs: 50 + nextRandom(random) * 500,
    peakBytes,
  });
}

/** Adds a temp, which the task makes that its name is of. */
export function declareTemp(workload: Workload, fileId: FileId, name: CacheName): void {
  workload.names.set(fileId, name);
  workload.temps.push(fileId);
  const bound = { name, sizeBytes: -1, digest: "", isDirectory: false, isExecutable: false };
  workload.declarations.push({
    kind: "file_declared",
    fileId,
    origin: { kind: "temp" },
    level: "workflow",
    peerTransfer: true,
    bound,
  });
}

function declareSource(workload: Workload, fileId: FileId, index: number): FileId {
  const name = `source-${index}` as CacheName;
  const digest = digestOf(name);
  workload.declared.set(fileId, digest);
  workload.names.set(fileId, name);
  const isUrl = index === 1;
  const sizeBytes = index % 2 === 0 ? 1_000 : 10_000_000;
  workload.declarations.push({
    kind: "file_declared",
    fileId,
    origin: isUrl ? urlOrigin("data", false) : { kind: "manager" },
    level: index === 2 ? "worker" : index === 3 ? "task" : "workflow",
    peerTransfer: index !== 0,
    bound: {
      name,
      sizeBytes,
      digest: isUrl ? "" : digest,
      isDirectory: false,
      isExecutable: false,
    },
  });
  return fileId;
}

function declareRecipe(workload: Workload, fileId: FileId, input: FileId): FileId {
  const name = "environment" as CacheName;
  workload.names.set(fileId, name);
  workload.declarations.push({
    kind: "file_declared",
    fileId,
    origin: { kind: "recipe", recipe: { kind: "environment" }, inputs: [input] },
    level: "workflow",
    peerTransfer: false,
    bound: { name, sizeBytes: -1, digest: "", isDirectory: true, isExecutable: false },
  });
  return fileId;
}

function declareMini(
  workload: Workload,
  fileId: FileId,
  { inputs, peerTransfer }: { inputs: readonly FileId[]; peerTransfer: boolean },
): FileId {
  const name = `mini-${fileId}` as CacheName;
  workload.names.set(fileId, name);
  workload.minis.push({ fileId, name, inputs });
  const recipe = {
    kind: "command",
    command: "true",
    env: {},
    // More than some workers have.
    resources: { ...NO_RESOURCES, cores: 1 + fileId % 4 },
    timeoutMs: 0,
    mount: "made",
    inputs: inputs.map((input, index) => ({ mount: `in${index}`, fileId: input })),
    environments: [],
  } as const;
  workload.declarations.push({
    kind: "file_declared",
    fileId,
    origin: { kind: "recipe", recipe, inputs },
    level: fileId % 2 === 0 ? "workflow" : "worker",
    peerTransfer,
    bound: { name, sizeBytes: -1, digest: "", isDirectory: false, isExecutable: false },
  });
  return fileId;
}

function chooseInputs(random: RandomState, files: readonly FileId[]): FileId[] {
  const chosen = new Set<FileId>();
  const count = nextRandomBelow(random, 3);
  for (let index = 0; index < count; index++) {
    const fileId = files[nextRandomBelow(random, files.length)];
    if (fileId !== undefined) chosen.add(fileId);
  }
  return [...chosen];
}

function declareOutputs(
  workload: Workload,
  { random, taskId, newFile }: { random: RandomState; taskId: number; newFile: () => FileId },
): TaskDefinition["outputs"] {
  const count = nextRandomBelow(random, 3);
  const outputs: { mount: string; fileId: FileId; only?: "failure" }[] = [];
  for (let index = 0; index < count; index++) {
    const fileId = newFile();
    const name = `temp-${taskId}-${index}` as CacheName;
    const isTemp = nextRandom(random) < 0.8;
    workload.names.set(fileId, name);
    const isUrl = !isTemp && fileId % 2 === 0;
    if (isTemp) workload.temps.push(fileId);
    if (isUrl) workload.stored.push(fileId);
    workload.declarations.push({
      kind: "file_declared",
      fileId,
      origin: isTemp
        ? { kind: "temp" }
        : isUrl
        ? urlOrigin(String(name), true)
        : { kind: "manager" },
      isReleasedByUse: isTemp && fileId % 2 === 0,
      level: "workflow",
      peerTransfer: true,
      bound: { name, sizeBytes: -1, digest: "", isDirectory: false, isExecutable: false },
    });
    const isOfFailure = !isTemp && !isUrl && fileId % 3 === 0;
    outputs.push({ mount: `out${index}`, fileId, ...(isOfFailure && { only: "failure" }) });
  }
  return outputs;
}

/** All of one host. */
function urlOrigin(path: string, isOutput: boolean): FileOrigin {
  return { kind: "url", url: `http://host/${path}`, host: "host", isOutput };
}
