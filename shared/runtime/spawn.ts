/**
 * Starts child processes with the least that can stand between a worker and its
 * tasks. Bun's own call is 10 to 20 % quicker than its node:child_process, and it
 * takes open files as they are. The children started here are remembered while
 * they live, so that a worker can tell them from processes it merely adopted.
 *
 * @module
 */

import { constants } from "node:os";

/** What to start and with what. */
export interface SpawnOptions {
  /** Absolute path of the program, then its arguments. */
  readonly argv: readonly string[];
  /** The whole environment of the child; nothing is inherited beside it. */
  readonly env: { readonly [name: string]: string };
  readonly directory: string;
  /** Open file descriptors that become the child's standard streams. */
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** What a child and all it waited for used until they ended, as the kernel has it. */
export interface ChildUse {
  readonly cpuMs: number;
  /** The most that one of them had in memory; 0 when that is not known. */
  readonly memoryBytes: number;
}

/** How a child ended. */
export type ChildExit =
  | { readonly kind: "exit"; readonly exitCode: number }
  /** `SIGKILL` and the like; `SIG34` for one without a name. */
  | { readonly kind: "signal"; readonly signal: string };

/** The same, and what it used. */
export type ChildEnd = ChildExit & { readonly use: ChildUse };

interface SpawnedChild {
  readonly pid: number;
  /** Times in microseconds, memory in bytes; undefined while it runs. */
  resourceUsage():
    | { readonly cpuTime: { readonly total: bigint }; readonly maxRSS: number }
    | undefined;
}

/** The part of `Bun.spawn` that is used here. */
interface SpawningHost {
  spawn(options: {
    readonly cmd: readonly string[];
    readonly env: { readonly [name: string]: string };
    readonly cwd: string;
    readonly stdin: number;
    readonly stdout: number;
    readonly stderr: number;
    readonly detached: true;
    readonly onExit: (
      child: SpawnedChild,
      exitCode: number | null,
      signal: string | number | null,
    ) => void;
  }): SpawnedChild;
}

const SIGNAL_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
);

const childIds = new Set<number>();

/** By so much more than this process's own a child's memory must be to be the child's own. */
const OWN_MEMORY_SLACK = 1.05;

/** The most that this process had in memory when that was looked at last. */
let ownMemoryBytes = 0;

/**
 * Starts a child as leader of its own session and process group and returns its
 * process id, which is also the group's. `onEnd` is called once, in a later turn.
 * Throws what the system answered, with its `code`, when the program cannot start.
 */
export function spawnDetached(options: SpawnOptions, onEnd: (end: ChildEnd) => void): number {
  const { Bun: host } = globalThis as unknown as { Bun: SpawningHost };
  const child = host.spawn({
    cmd: options.argv,
    env: options.env,
    cwd: options.directory,
    stdin: options.stdin,
    stdout: options.stdout,
    stderr: options.stderr,
    detached: true,
    onExit: (ended, exitCode, signal) => {
      childIds.delete(ended.pid);
      onEnd({ ...childExit(exitCode, signal), use: childUse(ended) });
    },
  });
  childIds.add(child.pid);
  return child.pid;
}

/** True while a child of that process id, started by `spawnDetached`, has not ended. */
export function isOwnChild(processId: number): boolean {
  return childIds.has(processId);
}

/**
 * A child is started by vfork: until it runs its program it has the memory of this process, and the
 * kernel counts that as the child's (exec_mmap of linux/fs/exec.c). So what is no more than this
 * process had says nothing.
 */
function childUse(ended: SpawnedChild): ChildUse {
  const use = ended.resourceUsage();
  if (use === undefined) return { cpuMs: 0, memoryBytes: 0 };
  const cpuMs = Number(use.cpuTime.total) / 1000;
  if (use.maxRSS <= ownMemoryBytes * OWN_MEMORY_SLACK) return { cpuMs, memoryBytes: 0 };
  ownMemoryBytes = process.resourceUsage().maxRSS * 1024;
  const isItsOwn = use.maxRSS > ownMemoryBytes * OWN_MEMORY_SLACK;
  return { cpuMs, memoryBytes: isItsOwn ? use.maxRSS : 0 };
}

function childExit(exitCode: number | null, signal: string | number | null): ChildExit {
  if (typeof signal === "string") return { kind: "signal", signal };
  if (signal !== null) {
    return { kind: "signal", signal: SIGNAL_NAMES.get(signal) ?? `SIG${signal}` };
  }
  return { kind: "exit", exitCode: exitCode ?? 0 };
}
