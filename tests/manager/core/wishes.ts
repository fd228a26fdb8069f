/** What workers, files, tasks and their ends are in a fixture, unless a test states otherwise. */

import type { Hello } from "../../../manager/core/event.ts";
import type { Policies } from "../../../manager/core/policy.ts";
import type { FileId, TaskId, WorkerId } from "../../../shared/ids.ts";
import type { RetryRule } from "../../../manager/core/retry.ts";
import { PROTOCOL_VERSION } from "../../../shared/protocol.ts";
import type { CustomResources, ResourceRequest, Resources } from "../../../shared/resources.ts";
import type { CacheLevel, Exceeded, Outcome, Usage } from "../../../shared/task.ts";

/** What a worker of the fixture has; one core unless stated. */
export interface WorkerWish {
  readonly cores?: number;
  readonly gpus?: number;
  readonly memoryBytes?: number;
  readonly custom?: CustomResources;
  /** Much unless stated. */
  readonly diskBytes?: number;
  readonly features?: readonly string[];
  readonly incarnation?: string;
  readonly host?: string;
  /** What it says of itself when it joins or comes back. */
  readonly hello?: Partial<Hello>;
}

/** What a file of the fixture is; a small local file of the workflow unless stated. */
export interface FileWish {
  readonly sizeBytes?: number;
  readonly level?: CacheLevel;
  readonly peerTransfer?: boolean;
  readonly replicas?: number;
  readonly isReleasedByUse?: boolean;
}

/** What a task of the fixture asks for; one core and nothing else unless stated. */
export interface TaskWish {
  readonly inputs?: readonly FileId[];
  readonly outputs?: readonly FileId[];
  /** Outputs that come of its failure only. */
  readonly failureOutputs?: readonly FileId[];
  readonly environments?: readonly FileId[];
  readonly cores?: number;
  readonly gpus?: number;
  readonly diskBytes?: number;
  readonly memoryBytes?: number;
  /** In place of the amounts above. */
  readonly request?: ResourceRequest;
  readonly category?: string;
  readonly minTimeMs?: number;
  readonly startsAtMs?: number;
  readonly placement?: Policies["placement"];
  /** Of `inputs`. */
  readonly strict?: readonly FileId[];
  readonly endsAtMs?: number;
  readonly features?: readonly string[];
  readonly library?: string;
  /** Tasks whose values are among its arguments. */
  readonly awaits?: readonly TaskId[];
  /** The call of an app that it is a try of. */
  readonly appCall?: TaskId;
  readonly priority?: number;
  readonly retries?: number;
  readonly workerLosses?: number;
  readonly retry?: RetryRule;
}

/** How a try of the fixture ends; as a success with all its outputs unless stated. */
export interface EndWish {
  readonly outcome?: Outcome;
  readonly message?: string;
  readonly ranMs?: number;
  readonly isAmbiguous?: boolean;
  readonly used?: Partial<Usage>;
  readonly exceeded?: Exceeded;
  /** Small outputs ride in the result. */
  readonly isInline?: boolean;
  /** Its value is a file of so many bytes. */
  readonly valueBytes?: number;
  /** Contents of every output, in place of what the task and its try make of it. */
  readonly digest?: string;
}

/** What a try of the fixture has used; nothing but a core unless stated. */
export function usageOf(used: Partial<Usage>): Usage {
  return { cores: 1, memoryBytes: 0, diskBytes: 0, processCount: 1, cpuMs: 1, ...used };
}

/** The identity of the worker of that name. */
export function idOf(worker: string): WorkerId {
  return worker as WorkerId;
}

/** What `worker` says when it joins. */
export function helloOf(worker: string, wish: WorkerWish): Hello {
  const { cores = 1, gpus = 0, diskBytes = 2 ** 40, host, hello } = wish;
  const { features = [], incarnation = "1", memoryBytes = 2 ** 34, custom } = wish;
  const common = { cores, memoryBytes, diskBytes, gpus };
  const resources: Resources = custom === undefined ? common : { ...common, custom };
  return {
    kind: "hello",
    protocol: PROTOCOL_VERSION,
    version: "0",
    workerId: idOf(worker),
    incarnation,
    host: host ?? `host of ${worker}`,
    pid: 1,
    resources,
    features,
    urls: [`http://${worker}`],
    tries: [],
    results: [],
    replicas: [],
    instances: [],
    ...hello,
  };
}
