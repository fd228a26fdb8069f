/**
 * Workflows of several libraries of all kinds whose calls state what calls may state, among tasks that
 * make what both read; and the scenarios in which that meets everything that disturbs instances.
 */

import type { LibrarySpec, TaskDefinition, TaskTemplate } from "../../manager/core/event.ts";
import type { CategoryChange } from "../../manager/core/event.ts";
import type { CacheName, FileId, TaskId } from "../../shared/ids.ts";
import { type LibraryProgram, NO_ARGUMENTS } from "../../shared/library.ts";
import { newRandom, nextRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import { NO_RESOURCES, type ResourceRequest } from "../../shared/resources.ts";
import { pick } from "./combined.ts";
import { digestOf } from "./contents.ts";
import type { Scenario } from "./scenario.ts";
import { declareTemp, emptyWorkload, type Workload } from "./workload.ts";

/** How a workflow of libraries is to be. */
export interface LibrariesOptions {
  readonly taskCount: number;
  readonly retries?: number;
  /** Some calls want features, licenses, time of their worker, or an end in time. */
  readonly isVaried?: boolean;
}

const SOURCES = [1 as FileId, 2 as FileId] as const;

/** One task of so many makes a temp. */
const TASKS_PER_TEMP = 6;

/** Makes a workflow out of the generator's numbers. */
export function newLibraries(random: RandomState, options: LibrariesOptions): Workload {
  const { taskCount, retries = 100, isVaried = false } = options;
  const workload = emptyWorkload();
  for (const fileId of SOURCES) declareSource(workload, fileId);
  const temps: FileId[] = [];
  for (let index = 0; index * TASKS_PER_TEMP < taskCount; index++) {
    temps.push(declareTempOf(workload, index));
  }
  const libraries = drawLibraries(random, temps.slice(0, 2));
  for (const library of libraries) {
    workload.declarations.push({ kind: "library_declared", library });
    undeclare(workload, library, { random, endMs: (taskCount + 1) * 10 });
  }
  const templates = new Map<string, TaskTemplate>();
  const calls: TaskId[] = [];
  for (let id = 1; id <= taskCount; id++) {
    const taskId = id as TaskId;
    const temp = id % TASKS_PER_TEMP === 1 ? temps[(id - 1) / TASKS_PER_TEMP] : undefined;
    const isCall = temp === undefined && nextRandom(random) < 0.75;
    const library = isCall ? pick(random, libraries) : undefined;
    const inputs = drawInputs(random, temps.slice(0, Math.ceil((id - 1) / TASKS_PER_TEMP)));
    const awaited = isCall && nextRandom(random) < 0.3 ? pick(random, [...calls, 0]) : 0;
    workload.tasks.push({
      taskId,
      template: templateOf(templates, drawTemplate(random, { library, isVaried })),
      environments: [],
      features: isVaried && nextRandom(random) < 0.1 ? ["rich"] : [],
      body: isCall
        ? { kind: "call", function: "f", arguments: new Uint8Array(0) }
        : { kind: "command", command: "true" },
      inputs: inputs.map((fileId, index) => ({ mount: `in${index}`, fileId })),
      outputs: temp === undefined ? [] : [{ mount: "out", fileId: temp }],
      ...(awaited === 0 ? {} : { awaits: [awaited as TaskId] }),
      ...timesOf(random, id, isVaried && temp === undefined),
      priority: nextRandomBelow(random, 3),
      retries,
      workerLosses: 100,
    });
    if (isCall) calls.push(taskId);
  }
  return workload;
}

/** A scenario with several libraries and some of everything. */
export function librariesScenario(calm: Omit<Scenario, "seed">, seed: number): Scenario {
  const random = newRandom(seed + 2_000_003);
  const is = (chance: number) => nextRandom(random) < chance;
  const count = (chance: number, most: number) =>
    is(chance) ? 1 + nextRandomBelow(random, most) : 0;
  const isVaried = is(0.4);
  return {
    ...calm,
    graph: "libraries",
    seed,
    taskCount: 120,
    isVaried,
    // Some features only every second one has.
    workerCount: (isVaried ? 2 : 1) + nextRandomBelow(random, 4),
    ...(is(0.5) ? { workerCores: 2 + nextRandomBelow(random, 3) } : {}),
    startMs: pick(random, [20, 20, 300, 900]),
    badHostChance: is(0.3) ? 0.3 : 0,
    faultChance: is(0.5) ? 0.05 * nextRandom(random) : 0,
    failChance: is(0.3) ? 0.05 : 0,
    retries: 3,
    cancelCount: count(0.4, 20),
    longChance: is(0.4) ? 0.05 : 0,
    hangChance: is(0.3) ? 0.01 : 0,
    meddleChance: is(0.2) ? 0.03 : 0,
    disturbanceCount: count(0.6, 12),
    killEachMs: is(0.2) && !isVaried ? 2_000 : 0,
    wallMs: is(0.2) ? 9_000 : 0,
    hostCount: count(0.3, 3),
    hostChangeCount: count(0.4, 5),
    slowWorkerCount: count(0.2, 1),
    diskBytes: is(0.15) ? 45_000_000 : 2 ** 40,
    categories: drawCategories(random),
    ...(is(0.3) ? { redeclared: drawCategories(random) } : {}),
    policies: {
      libraryRetries: 100_000,
      libraryTurnMs: pick(random, [50, 500, 2_000]),
      libraryIdleTimeoutMs: pick(random, [0, 50, 300, 2_000]),
      dispatchAhead: 1 + nextRandomBelow(random, 3),
      dispatchAheadMs: pick(random, [0, 20, 500]),
      replicas: 1 + nextRandomBelow(random, 2),
      recovery: is(0.5) ? "immediate" : "on_demand",
      hostBlockTimeMs: 2_000,
    },
    ...(is(0.3) ? { tunedTo: { libraryIdleTimeoutMs: 100, libraryTurnMs: 50 } } : {}),
  };
}

/** Categories that calls and tasks are of. */
const CATEGORIES = ["a", "b", "c"] as const;

function drawCategories(random: RandomState): CategoryChange[] {
  return CATEGORIES.map((name) => {
    return { name, maxConcurrent: nextRandom(random) < 0.3 ? 1 + nextRandomBelow(random, 3) : 0 };
  });
}

function drawLibraries(random: RandomState, temps: readonly FileId[]): LibrarySpec[] {
  const is = (chance: number) => nextRandom(random) < chance;
  return Array.from({ length: 1 + nextRandomBelow(random, 5) }, (_, index): LibrarySpec => {
    const mode = is(0.4) ? "fork" : "direct";
    const inputs = temps.filter(() => is(0.2));
    return {
      name: `library-${index}`,
      program: programOf(mode),
      mode,
      context: "",
      contextArguments: NO_ARGUMENTS,
      slots: 1 + nextRandomBelow(random, 4),
      instanceCount: is(0.3) ? 1 + nextRandomBelow(random, 3) : 0,
      resources: {
        ...NO_RESOURCES,
        cores: pick(random, [0.5, 1, 1, 2]),
        memoryBytes: is(0.2) ? 9e9 : 0,
      },
      env: {},
      environments: [],
      inputs: inputs.map((fileId) => ({ mount: `input-${fileId}`, fileId })),
    };
  });
}

/** Some are undeclared and declared again while there are calls, some once all are submitted. */
function undeclare(
  { later }: Workload,
  library: LibrarySpec,
  { random, endMs }: { readonly random: RandomState; readonly endMs: number },
): void {
  const undeclared = { kind: "library_undeclared", name: library.name } as const;
  for (let times = nextRandomBelow(random, 3); times > 0; times--) {
    const atMs = nextRandom(random) * endMs;
    later.push({ atMs, event: undeclared });
    later.push({ atMs, event: { kind: "library_declared", library } });
  }
  if (nextRandom(random) < 0.5) later.push({ atMs: endMs, event: undeclared });
}

function programOf(mode: LibrarySpec["mode"]): LibraryProgram<FileId> {
  const [module] = SOURCES;
  return mode === "fork"
    ? { kind: "python", module, moduleName: "model", isPickling: false }
    : { kind: "javascript", module };
}

interface TemplateWish {
  readonly library?: string;
  readonly category: string;
  readonly request: ResourceRequest;
  readonly minTimeMs: number;
}

function drawTemplate(
  random: RandomState,
  { library, isVaried }: { readonly library: LibrarySpec | undefined; readonly isVaried: boolean },
): TemplateWish {
  const is = (chance: number) => nextRandom(random) < chance;
  const category = is(0.5) ? "a" : pick(random, CATEGORIES);
  const minTimeMs = isVaried && is(0.1) ? 1_000 : 0;
  const license = isVaried && is(0.15) ? { custom: { license: 1 } } : {};
  if (library === undefined) {
    return { category, minTimeMs, request: { cores: pick(random, [0.5, 1, 2]), ...license } };
  }
  const own = is(0.25) ? pick(random, [{ cores: 0.5 }, { cores: 1 }, { memoryBytes: 1e9 }]) : {};
  // What nobody has beside the instance is never had.
  const room = library.resources.cores >= 2 ? {} : own;
  return { library: library.name, category, minTimeMs, request: { ...room, ...license } };
}

/** Those that are alike share one. */
function templateOf(known: Map<string, TaskTemplate>, wish: TemplateWish): TaskTemplate {
  const key = JSON.stringify(wish);
  const found = known.get(key) ?? {
    ...wish,
    env: {},
    // Longer than any try that ends by itself.
    timeoutMs: 8_000,
  };
  known.set(key, found);
  return found;
}

function timesOf(
  random: RandomState,
  id: number,
  isTimed: boolean,
): Pick<TaskDefinition, "startsAtMs" | "endsAtMs"> {
  if (!isTimed) return {};
  const drawn = nextRandom(random);
  if (drawn < 0.1) return { startsAtMs: id * 10 + nextRandom(random) * 4_000 };
  return drawn > 0.9 ? { endsAtMs: id * 10 + nextRandom(random) * 6_000 } : {};
}

function drawInputs(random: RandomState, temps: readonly FileId[]): FileId[] {
  const chosen = [...SOURCES, ...temps.slice(-3)].filter(() => nextRandom(random) < 0.1);
  return chosen.slice(0, 2);
}

function declareSource(workload: Workload, fileId: FileId): void {
  const name = `source-${fileId}` as CacheName;
  const digest = digestOf(name);
  workload.declared.set(fileId, digest);
  workload.names.set(fileId, name);
  workload.declarations.push({
    kind: "file_declared",
    fileId,
    origin: { kind: "manager" },
    level: "workflow",
    peerTransfer: true,
    bound: { name, sizeBytes: 1_000, digest, isDirectory: false, isExecutable: false },
  });
}

function declareTempOf(workload: Workload, index: number): FileId {
  const fileId = SOURCES.length + 1 + index as FileId;
  // The task that makes it.
  const name = `temp-${index * TASKS_PER_TEMP + 1}-0` as CacheName;
  declareTemp(workload, fileId, name);
  return fileId;
}
