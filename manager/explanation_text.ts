/** Explanations in English: one line for each reason, of one task or of many alike. */

import { plainText } from "../shared/plain_text.ts";
import { formatDuration, formatSize } from "../shared/units.ts";
import { QUEUE_COUNTED_MAX } from "./core/explain.ts";
import { CHAIN_MAX } from "./core/explain_input.ts";
import type { CopySource, Explanation, NeededFile, Producer, Reason } from "./core/explanation.ts";
import { describeIds } from "./selector.ts";

/** Characters of one line. */
const LINE_CHARS_MAX = 1_000;

/**
 * How much is told: `all` of one task; of many without counts and times, which are each one's own;
 * `common` without the names of other tasks besides.
 */
type Detail = "all" | "named" | "common";

/** How a reason is told; `isOne` is true of all that there is to tell. */
type Texts = {
  readonly [Kind in Reason["kind"]]: (
    reason: Extract<Reason, { kind: Kind }>,
    isOne: boolean,
    detail: Detail,
  ) => string;
};

/** The reason as the end of a sentence that begins with the task. */
export function describeReason(reason: Reason, detail: Detail = "all"): string {
  // The table has for each kind a function of that kind.
  const text = TEXTS[reason.kind] as (reason: Reason, isOne: boolean, detail: Detail) => string;
  return text(reason, detail === "all", detail);
}

/** A line for each reason of a task, as `task 12 waits: needs 3 gpus; …`. */
export function describeExplanation(explanation: Explanation): readonly string[] {
  const { taskId, state } = explanation;
  const head = `task ${taskId} ${ONE_STATE[state]}`;
  return textsOf(explanation, "all").map((text) => line(head, text));
}

/** As `describeExplanation`, with tasks alike told of together: `tasks 12-511 (500) wait: …`. */
export function describeExplanations(explanations: readonly Explanation[]): readonly string[] {
  const groups: Group[] = [];
  let left = explanations;
  for (const detail of ["named", "common"] as const) {
    const single: Explanation[] = [];
    for (const members of groupBy(left, detail)) {
      if (members.length > 1 || detail === "common") groups.push({ members, detail });
      else single.push(...members);
    }
    left = single;
  }
  const firstOf = ({ members }: Group) => members[0]?.taskId ?? 0;
  return groups.toSorted((a, b) => firstOf(a) - firstOf(b)).flatMap(describeGroup);
}

/** Tasks alike in what is told of them. */
interface Group {
  readonly members: readonly Explanation[];
  readonly detail: Detail;
}

function describeGroup({ members, detail }: Group): readonly string[] {
  const [first] = members;
  if (first === undefined) return [];
  if (members.length === 1) return describeExplanation(first);
  const ids = describeIds(members.map(({ taskId }) => taskId));
  const head = `tasks ${ids} (${members.length}) ${MANY_STATES[first.state]}`;
  const texts = new Set(textsOf(first, detail));
  return texts.size === 0 ? [head] : [...texts].map((text) => line(head, text));
}

function groupBy(explanations: readonly Explanation[], detail: Detail): Explanation[][] {
  const groups = new Map<string, Explanation[]>();
  for (const explanation of explanations) {
    const key = [explanation.state, ...textsOf(explanation, detail)].join("\n");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [explanation]);
    else group.push(explanation);
  }
  return [...groups.values()];
}

function textsOf({ reasons }: Explanation, detail: Detail): readonly string[] {
  return reasons.map((reason) => describeReason(reason, detail)).filter((text) => text !== "");
}

function line(head: string, text: string): string {
  return plainText(joined(head, text), LINE_CHARS_MAX);
}

/** `task 4 waits: …`, and `task 4 waits for …`. */
function joined(head: string, text: string): string {
  return text.startsWith("for ") ? `${head} ${text}` : `${head}: ${text}`;
}

const ONE_STATE = {
  waiting: "waits",
  ready: "waits",
  dispatched: "is dispatched",
  running: "is running",
  retrieving: "is retrieving",
  done: "is done",
} as const;

const MANY_STATES = {
  waiting: "wait",
  ready: "wait",
  dispatched: "are dispatched",
  running: "are running",
  retrieving: "are retrieving",
  done: "are done",
} as const;

const TEXTS: Texts = {
  "not_seen": () => "was submitted a moment ago",
  "no_worker": () => "no worker is connected",
  "few_workers": ({ joinedCount, wantedCount }) =>
    `waitForWorkers holds everything back: ${joinedCount} of ${wantedCount} workers have joined`,
  resource: (reason) => {
    const { resource, amount, most, ofCount } = reason;
    const what = `${needing(reason)} ${formatAmount(resource, amount)}`;
    if (most >= amount) return `${what}; ${share(reason)} too little`;
    const has = formatMost(resource, most);
    if (ofCount === 1) return `${what}; the only worker has ${has}`;
    if (most === 0) return `${what}; none of ${ofCount} workers has any`;
    return `${what}; the most that one of ${ofCount} workers has is ${has}`;
  },
  feature: (reason) => {
    const what = `${needing(reason)} a worker with feature "${reason.feature}"`;
    if (reason.ofCount === 1 && reason.holderCount === 0) {
      return `${what}; the only worker lacks it`;
    }
    return reason.holderCount > 0
      ? `${what}; ${share(reason)} not got it`
      : `${what}; none of ${plural(reason.ofCount, "worker")} has it`;
  },
  time: (reason) =>
    `${needing(reason)} a worker that is there for ${formatDuration(reason.neededMs)}; ` +
    `${share(reason)} ${formatDuration(reason.mostMs)} left at most`,
  busy: (reason) =>
    `${could(reason)} ${be(reason)} busy: ${reason.workerCount === 1 ? "its" : "their"} ` +
    `${taken(reason.resource)} taken`,
  "passed_over": (reason, isOne) => {
    const { workerCount, library = "", workers } = reason;
    const one = workerCount === 1;
    const what = `${one ? "a start" : "starts"} of library "${library}" failed there`;
    const who = `${could(reason)} ${be(reason)} passed over, as ${what}`;
    if (!isOne) return who;
    const told = workers.map(({ workerId, host, leftMs }) => {
      return `worker ${workerId} on ${host} for ${formatDuration(leftMs)} more`;
    });
    return `${who}: ${told.join(", ")}${workerCount > workers.length ? " and others" : ""}`;
  },
  kept: (reason) =>
    `${could(reason)} ${be(reason)} kept for others, which have found no room for longer`,
  away: (reason) =>
    `${could(reason)} ${be(reason)} without a connection, lost in ${
      formatDuration(reason.leftMs)
    } unless back`,
  leaving: (reason) => `${could(reason)} ${be(reason)} leaving`,
  "strict_input": ({ mounts, holderCount }) => {
    const inputs = mounts.map((mount) => `"${mount}"`).join(", ");
    const where = holderCount === 0 ? "nowhere yet" : `at ${plural(holderCount, "worker")}`;
    return `runs only where ${inputs} ${mounts.length === 1 ? "is" : "are"}: ${where}`;
  },
  blocked: (reason) => {
    const { host, hostCount, leftMs } = reason;
    const time = leftMs === undefined ? "" : `, for ${formatDuration(leftMs)} more`;
    const where = hostCount === 1
      ? `a blocked host (${host})`
      : `${hostCount} blocked hosts (${host} and others)`;
    return `${could(reason)} ${be(reason)} on ${where}${time}`;
  },
  draining: (reason) => `${could(reason)} ${be(reason)} drained: nothing more is given there`,
  crowded: (reason) => `${could(reason)} ${be(reason)} without free disk until a task there ends`,
  "category_full": ({ category, runningCount, maxConcurrent }) =>
    `category "${category}" has ${plural(runningCount, "task")} at workers, of ${maxConcurrent} ` +
    "at most at a time",
  queue: ({ alikeCount, otherCount }, isOne) => {
    if (!isOne) return "";
    const parts = [
      ...(alikeCount > 0 ? [`${counted(alikeCount)} alike`] : []),
      ...(otherCount > 0 ? [`${counted(otherCount)} of higher priority`] : []),
    ];
    return `before it: ${parts.join(", ")}`;
  },
  "placed_next": () => "nothing keeps it: the next pass places it",
  "call_room": ({ library, resource, amount, workerCount }) => {
    const where = workerCount === 1
      ? "the worker whose instance"
      : `${workerCount} workers whose instances`;
    const have = workerCount === 1 ? "has" : "have";
    return `needs ${formatAmount(resource, amount)} beside its instance; at ${where} of library ` +
      `"${library}" ${have} free slots, ${taken(resource)} taken`;
  },
  slots: ({ library, slotCount, callCount }) =>
    `library "${library}" has ${plural(slotCount, "slot")} and ${
      plural(callCount, "call")
    } for them`,
  "instances_starting": ({ library, instanceCount, workerCount, forMs }, isOne) => {
    const what = instanceCount === 1
      ? `instance of library "${library}" starts`
      : `${instanceCount} instances of library "${library}" start at ${
        plural(workerCount, "worker")
      }`;
    return isOne ? `${what}, for ${formatDuration(forMs)} now` : what;
  },
  "instances_failed": ({ library, failureCount, mostCount, message }) =>
    `${
      plural(failureCount, "instance")
    } of library "${library}" failed in a row, of ${mostCount} ` +
    `until it is given up; the last said: ${message === "" ? "nothing" : message}`,
  turn: ({ libraries, isLeaving, leftMs }, isOne) => {
    const names = libraries.map((library) => `"${library}"`).join(", ");
    const who = `instances of ${libraries.length === 1 ? "library" : "libraries"} ${names}`;
    if (isLeaving) return `for a turn: ${who} make way`;
    const left = isOne && leftMs !== undefined ? `, for ${formatDuration(leftMs)} more` : "";
    return `for a turn: ${who} hold the room${left}`;
  },
  "input_unbound": ({ file, origin }) => {
    if (origin === "url") return `${nameOf(file)}: its url is being looked at`;
    return origin === "local"
      ? `${nameOf(file)} is being looked at`
      : `${nameOf(file)} has no name yet`;
  },
  "input_unmade": ({ file }) => `${nameOf(file)} is not there, and no task makes it`,
  "input_kept": ({ file, name, leftMs }, isOne) => {
    const left = leftMs === undefined
      ? "no worker is there yet"
      : isOne
      ? `given up in ${formatDuration(leftMs)}`
      : "given up soon";
    return `${nameOf(file)}, kept as ${name}, is at no worker that is there: ${left}`;
  },
  "input_made": ({ file, chain, root }, _isOne, detail) => {
    const makers = chain.map((producer) => describeProducer(producer, detail)).join(
      ", which waits for ",
    );
    const what = `for ${nameOf(file)} of ${makers}`;
    if (chain.length >= CHAIN_MAX) return `${what}, and so on`;
    const state = chain.at(-1)?.state ?? "waiting";
    if (root === undefined) return `${what}, which ${ONE_STATE[state]}`;
    const text = describeReason(root, detail);
    if (text.startsWith("needs ")) return `${what}, which ${text}`;
    return `${what}, which ${joined(ONE_STATE[state], text)}`;
  },
  "more_inputs": ({ count }) => `${count} more inputs are not there`,
  "input_coming": ({ file, from, forMs, sizeBytes, attemptCount }, isOne) => {
    const how = from.kind === "recipe"
      ? "is made at its worker"
      : `comes from ${sourceName(from, isOne)}`;
    if (!isOne) return `${nameOf(file)} ${how}`;
    const size = sizeBytes < 0 ? "" : ` (${formatSize(sizeBytes)})`;
    const failed = attemptCount === 0 ? "" : `, after ${plural(attemptCount, "failed attempt")}`;
    return `${nameOf(file)}${size} ${how}, for ${formatDuration(forMs)} now${failed}`;
  },
  "input_queued": ({ file, sources, queueCount, awayCount }, isOne) => {
    const busy = sources.map((source) => describeSource(source, isOne));
    const away = awayCount === 0 ? [] : [`${plural(awayCount, "holder")} without a connection`];
    const why = [...busy, ...away].join("; ");
    return `${nameOf(file)} waits for who has it${why === "" ? "" : ` (${why})`}, as ` +
      `${plural(queueCount, "copy", "copies")} of it ${queueCount === 1 ? "does" : "do"}`;
  },
  "input_again": ({ file, attemptCount }) =>
    `${nameOf(file)} did not come: ${plural(attemptCount, "attempt")} failed, the next is soon`,
  "input_detour": ({ file }) =>
    `${nameOf(file)} comes by way of the manager: its worker can ask none that has it`,
  room: ({ runningCount, beforeCount, stoppingCount }, isOne) => {
    if (!isOne) return "waits for room at its worker";
    const stopping = stoppingCount === 0 ? "" : `, ${stoppingCount} being stopped`;
    return `waits for room at its worker: ${plural(runningCount, "task")} running, ` +
      `${beforeCount} before it${stopping}`;
  },
  disk: ({ freeBytes, comingBytes }) =>
    `the disk of its worker is full: ${formatSize(comingBytes)} are to come, ` +
    `${formatSize(Math.max(0, freeBytes))} are free`,
  recalled: () => "is being taken back for a worker that is free",
  "worker_away": ({ leftMs }, isOne) => {
    const what = "its worker is without a connection";
    return isOne ? `${what}; lost in ${formatDuration(leftMs)} unless back` : what;
  },
  instance: ({ library, forMs }, isOne) => {
    const what = `instance of library "${library}" starts`;
    return isOne && forMs !== undefined ? `${what}, for ${formatDuration(forMs)} now` : what;
  },
  starting: () => "all it needs is there: its worker is starting it",
  running: ({ forMs }, isOne) => isOne ? `for ${formatDuration(forMs)}` : "",
  output: ({ mount, to, isQueued, queueCount }, isOne) => {
    const target = to === "url" ? "its url" : "the manager";
    if (!isQueued) return `output "${mount}" is on its way to ${target}`;
    const behind = isOne ? `, with ${queueCount} before it` : "";
    return `output "${mount}" waits to be brought to ${target}${behind}`;
  },
  "start_after": ({ leftMs }) => `starts in ${formatDuration(leftMs)} at the earliest`,
  "back_off": ({ leftMs, failureCount }) =>
    `is tried again in ${formatDuration(leftMs)}, after ${plural(failureCount, "failure")}`,
  arguments: ({ taskIds, count }) => {
    const more = count > taskIds.length ? ` and ${count - taskIds.length} more` : "";
    const tasks = taskIds.length + count === 2 ? "task" : "tasks";
    // They have ended a moment ago.
    if (taskIds.length === 0) return "the values among its arguments are being put in";
    return `needs the value of ${tasks} ${taskIds.join(", ")}${more}`;
  },
  "called_off": () => "was cancelled, and ends in a moment",
  "retry_asked": ({ outcome }) => `ended as ${outcome}; its retry handler is being asked`,
  "at_worker": ({ workerId, host, try: number, forMs }, isOne) =>
    isOne ? `at worker ${workerId} on ${host}, try ${number}, for ${formatDuration(forMs)}` : "",
  recovery: ({ count, mostCount }) =>
    `has ended before, and remakes what was lost since: run ${count} of ${mostCount} at most`,
  ended: ({ outcome, message, try: number }) => {
    const tried = number > 1 ? ` in try ${number}` : "";
    return `ended as ${outcome}${tried}${message === "" ? "" : `: ${message}`}`;
  },
};

function needing({ library }: { readonly library?: string }): string {
  return library === undefined ? "needs" : `an instance of library "${library}" needs`;
}

interface Share {
  readonly workerCount: number;
  readonly ofCount: number;
  readonly library?: string;
}

/** `2 of 4 workers could run it but`. */
function could({ workerCount, ofCount, library }: Share): string {
  const who = ofCount === 1 ? "the only worker" : `${workerCount} of ${ofCount} workers`;
  const what = library === undefined ? "it" : `an instance of library "${library}"`;
  return `${who} could run ${what} but`;
}

function be({ workerCount }: Share): "is" | "are" {
  return workerCount === 1 ? "is" : "are";
}

function taken(resource: string): string {
  const isMany = resource === "cores" || resource === "gpus";
  return `${resource} ${isMany ? "are" : "is"}`;
}

/** `2 of 4 workers have`. */
function share({ workerCount, ofCount }: Share): string {
  if (ofCount === 1) return "the only worker has";
  return `${workerCount} of ${ofCount} workers ${workerCount === 1 ? "has" : "have"}`;
}

function formatAmount(resource: string, amount: number): string {
  if (resource === "memory" || resource === "disk") return `${formatSize(amount)} of ${resource}`;
  if (resource === "cores") return amount === 1 ? "1 core" : `${amount} cores`;
  if (resource === "gpus") return amount === 1 ? "1 gpu" : `${amount} gpus`;
  return `${amount} of resource "${resource}"`;
}

function formatMost(resource: string, most: number): string {
  if (most === 0) return "none";
  return resource === "memory" || resource === "disk" ? formatSize(most) : String(most);
}

function counted(count: number): string {
  return count >= QUEUE_COUNTED_MAX ? `${count} tasks or more` : plural(count, "task");
}

function plural(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

function nameOf({ mount, library, fileId, isModule }: NeededFile): string {
  const what = mount !== undefined
    ? `input "${mount}"`
    : `${isModule === true ? "module" : "environment"} (file ${fileId})`;
  return library === undefined ? what : `${what} of library "${library}"`;
}

function describeProducer({ taskId, recovery }: Producer, detail: Detail): string {
  const task = detail === "common" ? "another task" : `task ${taskId}`;
  return recovery === undefined ? task : `${task}, which runs again as it was lost`;
}

function sourceName({ kind, workerId }: CopySource, isOne: boolean): string {
  if (kind === "worker") return isOne ? `worker ${workerId ?? ""}`.trim() : "another worker";
  return kind === "url" ? "its url" : "the manager";
}

function describeSource(source: CopySource, isOne: boolean): string {
  const { activeCount = 0, slotCount = 0, asideMs } = source;
  const name = sourceName(source, isOne);
  if (asideMs !== undefined) return `${name} failed and is not asked for now`;
  return isOne ? `${name} serves ${activeCount} of at most ${slotCount}` : name;
}
