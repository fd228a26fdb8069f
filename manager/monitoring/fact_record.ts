/** What is recorded of one fact: what is large is cut, and what only the core knows left out. */

import { unreachable } from "../../shared/assert.ts";
import type { ResourceRequest } from "../../shared/resources.ts";
import { readKept } from "../../shared/stream_note.ts";
import type { TryResult } from "../../shared/task.ts";
import type { CategoryChange, TaskDefinition } from "../core/event.ts";
import type { Fact } from "../core/fact.ts";
import {
  AWAITS_MAX,
  COMMAND_CHARS_MAX,
  type FileKind,
  type MountRecord,
  type RequestedAmounts,
  type RunRecord,
  TAIL_BYTES_MAX,
  type TaskSort,
  type TryEnd,
} from "./record.ts";

/** What a file is to its user, as the core does not know it. */
export interface FileDescription {
  readonly kind: FileKind;
  /** A path, a url without what it says of its user, or how it is made. */
  readonly source?: string;
  /** Of a value: the call. */
  readonly producer?: number;
}

/** Who knows what facts do not tell. */
export interface Informants {
  readonly tagOf: (taskId: number) => string | undefined;
  /** Undefined of a file that is not remembered any more. */
  readonly describeFile: (fileId: number) => FileDescription | undefined;
}

type Declared = Extract<Fact, { kind: "file_declared" }>;

/** Words of a command that set variables for the program after them. */
const ASSIGNMENTS = /^(?:\s*[A-Za-z_]\w*=(?:"[^"]*"|'[^']*'|\S*)\s+)*\s*/;

const KINDS_BY_ORIGIN = {
  manager: "buffer",
  url: "url",
  temp: "temp",
  kept: "kept",
  recipe: "mini_task",
} as const satisfies Record<string, FileKind>;

const decoder = new TextDecoder();

/** The record of a fact; undefined of one of which nothing is recorded. */
export function recordOf(fact: Fact, informants: Informants): RunRecord | undefined {
  switch (fact.kind) {
    case "task_submitted":
      return submittedOf(fact.definition, informants.tagOf(fact.taskId));
    case "try_dispatched":
    case "try_started":
    case "try_returned":
    case "recovery_started":
    case "recovery_ended":
    case "file_merged":
    case "file_forgotten":
    case "nondeterministic":
    case "replica_damaged":
    case "transfer_started":
    case "transfer_ended":
    case "transfer_failed":
    case "transfer_called_off":
    case "outputs_lost":
    case "worker_joined":
    case "worker_reconnected":
    case "worker_left":
    case "library_instance":
      return fact;
    case "try_ended": {
      const { kind, taskId, try: number, workerId, outcome, result } = fact;
      const { message = result?.message ?? "" } = fact;
      const ended = { kind, taskId, try: number, workerId, outcome, message };
      return result === undefined ? ended : { ...ended, end: tryEndOf(result) };
    }
    case "task_ended": {
      const { kind, taskId, outcome, end } = fact;
      const { message, try: number, mount } = end;
      const ended = { kind, taskId, outcome, message, try: number };
      return mount === undefined ? ended : { ...ended, mount };
    }
    case "file_declared":
      return declaredOf(fact, informants.describeFile(fact.fileId));
    case "file_bound": {
      const { name, sizeBytes, isDirectory } = fact.bound;
      const bound = { kind: fact.kind, fileId: fact.fileId, cacheName: name, isDirectory };
      return sizeBytes < 0 ? bound : { ...bound, sizeBytes };
    }
    case "replica_ready": {
      const { kind, fileId, workerId, file } = fact;
      const { name: cacheName, generation, sizeBytes, isDirectory } = file;
      return { kind, fileId, workerId, cacheName, generation, sizeBytes, isDirectory };
    }
    case "replica_gone":
      return { kind: fact.kind, fileId: fact.fileId, workerId: fact.workerId };
    case "library_declared": {
      const { name, program, mode, slots, resources } = fact.spec;
      return { kind: fact.kind, name, program: program.kind, mode, slots, resources };
    }
    case "category_declared":
      return categoryOf(fact.category);
    case "class_unplaceable":
    case "host_blocked":
    case "host_draining":
    case "host_unblocked":
      return noteOf(fact);
    case "app_called":
    case "app_state":
    case "file_kept":
    case "policies_set":
      return undefined;
    default:
      return unreachable(fact);
  }
}

/** What a task has in common with those submitted alike. */
export function sortOf({ body, template, priority }: TaskDefinition): TaskSort {
  const { category, request, library } = template;
  const common = { category, priority, requested: amountsOf(request) };
  if (body.kind === "command") {
    const command = body.command.slice(0, COMMAND_CHARS_MAX);
    return { ...common, taskKind: "command", name: programOf(command), command };
  }
  const { function: name } = body;
  const command = library === undefined ? name : `${library}.${name}`;
  const called = { ...common, taskKind: "call", name, command, function: name } as const;
  return library === undefined ? called : { ...called, library };
}

function categoryOf({ name, mode, max, min, first }: CategoryChange): RunRecord {
  return {
    kind: "category_declared",
    name,
    ...(mode === undefined ? {} : { mode }),
    ...(max === undefined ? {} : { max: amountsOf(max) }),
    ...(min === undefined ? {} : { min: amountsOf(min) }),
    ...(first === undefined ? {} : { first: amountsOf(first) }),
  };
}

function submittedOf(
  definition: TaskDefinition,
  tag: string | undefined,
): RunRecord & { readonly kind: "task_submitted" } {
  const { taskId, body, awaits = [], retries, appCall } = definition;
  return {
    kind: "task_submitted",
    taskId,
    ...sortOf(definition),
    ...(tag === undefined ? {} : { tag }),
    mounts: mountsOf(definition),
    ...(body.kind === "command" ? {} : {
      argumentBytes: awaits.length > 0 ? -1 : body.arguments.length,
    }),
    awaits: awaits.length > AWAITS_MAX ? awaits.slice(0, AWAITS_MAX) : awaits,
    retries,
    ...(appCall === undefined ? {} : { appCall }),
  };
}

function mountsOf({ inputs, outputs, environments }: TaskDefinition): readonly MountRecord[] {
  const mounts: MountRecord[] = [];
  for (const { mount, fileId } of inputs) mounts.push({ role: "input", mount, fileId });
  for (const { mount, fileId } of outputs) mounts.push({ role: "output", mount, fileId });
  for (const fileId of environments) mounts.push({ role: "environment", mount: "", fileId });
  return mounts;
}

/** Name of the program that a command begins with. */
function programOf(command: string): string {
  const start = ASSIGNMENTS.exec(command)?.[0].length ?? 0;
  const word = /^(?:"([^"]*)"|'([^']*)'|([^\s;|&<>()]+))/.exec(command.slice(start));
  const program = word?.[1] ?? word?.[2] ?? word?.[3] ?? "";
  return program.slice(program.lastIndexOf("/") + 1) || program || "sh";
}

function tryEndOf(result: TryResult): TryEnd {
  const { outcome, exitCode, signal, times, used, series, exceeded, stdout, stderr } = result;
  const isFailure = outcome !== "success";
  const valueBytes = result.value?.length ?? result.valueFile?.sizeBytes;
  return {
    ...times,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(used === undefined ? {} : { used }),
    ...(series === undefined ? {} : { series }),
    ...(exceeded === undefined ? {} : { exceeded }),
    ...(valueBytes === undefined ? {} : { valueBytes }),
    stdoutBytes: writtenBytes(stdout),
    stderrBytes: writtenBytes(stderr),
    ...(isFailure ? { stdoutTail: tailOf(stdout), stderrTail: tailOf(stderr) } : {}),
    outputBytes: result.outputs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

function writtenBytes(output: Uint8Array): number {
  if (output.length === 0) return 0;
  const { fromByte, bytes } = readKept(output);
  return fromByte + bytes.length;
}

/** The end of an output as text, from the first whole character on. */
function tailOf(output: Uint8Array): string {
  let from = Math.max(0, output.length - TAIL_BYTES_MAX);
  // Bytes of UTF-8 that go on with a character: RFC 3629, section 3.
  while (from > 0 && ((output[from] ?? 0) & 0xc0) === 0x80) from += 1;
  return decoder.decode(output.subarray(from));
}

function declaredOf(
  { fileId, origin, level }: Declared,
  description: FileDescription | undefined,
): RunRecord {
  const { kind = KINDS_BY_ORIGIN[origin.kind], source, producer } = description ?? {};
  return {
    kind: "file_declared",
    fileId,
    fileKind: kind,
    ...(source === undefined ? {} : { source: source.slice(0, COMMAND_CHARS_MAX) }),
    level,
    inputs: origin.kind === "recipe" ? origin.inputs : [],
    ...(producer === undefined ? {} : { producer }),
  };
}

function noteOf(
  fact: Extract<
    Fact,
    { kind: "class_unplaceable" | "host_blocked" | "host_draining" | "host_unblocked" }
  >,
): RunRecord {
  const { kind } = fact;
  switch (kind) {
    case "host_blocked": {
      const { host, reason, isByHand } = fact;
      const how = isByHand ? "by hand" : reason;
      return noteRecord(kind, host, `Host ${host} gets no work: blocked ${how}`);
    }
    case "host_draining":
      return noteRecord(kind, fact.host, `Host ${fact.host} gets no work: it is drained`);
    case "host_unblocked":
      return noteRecord(kind, fact.host, `Host ${fact.host} gets work again`);
    case "class_unplaceable": {
      const { category, taskCount, missing, workerCount } = fact;
      const found = missingText(missing);
      const text = `${taskCount} tasks of category "${category}" fit none of ${workerCount} ` +
        `workers: ${found}`;
      return noteRecord(kind, category, text);
    }
    default:
      return unreachable(kind);
  }
}

function missingText(
  missing: Extract<Fact, { kind: "class_unplaceable" }>["missing"],
): string {
  switch (missing.kind) {
    case "resource":
      return `${missing.name} ${missing.needed} is asked for, and the most is ${missing.most}`;
    case "feature":
      return `none has feature "${missing.name}"`;
    case "together":
      return `none has all of ${missing.names.join(", ")}`;
    default:
      return unreachable(missing);
  }
}

function noteRecord(noteKind: string, subject: string, text: string): RunRecord {
  return { kind: "note", noteKind, subject, text };
}

function amountsOf({ cores, memoryBytes, diskBytes, gpus }: ResourceRequest): RequestedAmounts {
  return {
    ...(cores === undefined ? {} : { cores }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(diskBytes === undefined ? {} : { diskBytes }),
    ...(gpus === undefined ? {} : { gpus }),
  };
}
