/**
 * Rows of the tables of `monitoring.db` that a made-up run fills, named as the columns are but in
 * camel case.
 *
 * @module
 */

/** Rows of the tables, as they are when the run has ended. */
export interface SyntheticPlan {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly tasks: readonly TaskPlan[];
  readonly attempts: readonly AttemptPlan[];
  readonly mounts: readonly MountPlan[];
  readonly files: readonly FilePlan[];
  readonly replicas: readonly ReplicaPlan[];
  readonly transfers: readonly TransferPlan[];
  readonly workers: readonly WorkerPlan[];
  readonly instances: readonly InstancePlan[];
  readonly notes: readonly NotePlan[];
}

/** A row of `task_detail`, once it has ended. */
export interface TaskPlan {
  taskId: number;
  kind: "command" | "call";
  name: string;
  command: string;
  library: string | null;
  function: string | null;
  category: string;
  tag: string | null;
  priority: number;
  state: string;
  outcome: string | null;
  message: string;
  tryCount: number;
  exitCode: number | null;
  signal: string | null;
  mount: string | null;
  workerId: string | null;
  host: string | null;
  submittedAtMs: number;
  dispatchedAtMs: number | null;
  startedAtMs: number | null;
  endedAtMs: number | null;
  stagedMs: number | null;
  ranMs: number | null;
  requestedCores: number | null;
  requestedMemoryBytes: number | null;
  requestedDiskBytes: number | null;
  requestedGpus: number | null;
  allocatedCores: number | null;
  allocatedMemoryBytes: number | null;
  allocatedDiskBytes: number | null;
  allocatedGpus: number | null;
  usedCores: number | null;
  usedMemoryBytes: number | null;
  usedDiskBytes: number | null;
  usedProcessCount: number | null;
  usedCpuMs: number | null;
  recoveryCount: number;
  argumentBytes: number | null;
  valueBytes: number | null;
  stdoutBytes: number | null;
  stderrBytes: number | null;
  stdoutTail: string | null;
  stderrTail: string | null;
}

/** A row of `attempt`. */
export interface AttemptPlan {
  taskId: number;
  try: number;
  workerId: string;
  lane: number | null;
  dispatchedAtMs: number;
  startedAtMs: number | null;
  endedAtMs: number | null;
  outcome: string | null;
  message: string | null;
  isRecovery: number;
}

/** A row of `mount`. */
export interface MountPlan {
  taskId: number;
  role: "input" | "output";
  mount: string;
  fileId: number;
}

/** A row of `file`. */
export interface FilePlan {
  fileId: number;
  kind: string;
  source: string | null;
  cacheName: string | null;
  level: string;
  sizeBytes: number | null;
  isDirectory: number;
  producerTaskId: number | null;
  isNondeterministic: number;
  mergedInto: number | null;
  declaredAtMs: number;
  forgottenAtMs: number | null;
}

/** A row of `replica`. */
export interface ReplicaPlan {
  fileId: number;
  workerId: string;
  readyAtMs: number;
  goneAtMs: number | null;
  generation: number;
  sizeBytes: number;
}

/** A row of `transfer`. */
export interface TransferPlan {
  transferId: number;
  fileId: number;
  source: "manager" | "worker" | "url";
  sourceId: string | null;
  target: "worker" | "manager";
  workerId: string;
  state: string;
  startedAtMs: number;
  endedAtMs: number | null;
  movedBytes: number;
  message: string | null;
}

/** A row of `worker`. */
export interface WorkerPlan {
  workerId: string;
  joinedAtMs: number;
  leftAtMs: number | null;
  reason: string | null;
  host: string;
  pid: number;
  address: string | null;
  cores: number;
  memoryBytes: number;
  diskBytes: number;
  gpus: number;
  features: string;
}

/** A row of `library_instance`. */
export interface InstancePlan {
  instanceId: number;
  library: string;
  workerId: string;
  state: string;
  startingAtMs: number;
  readyAtMs: number | null;
  endedAtMs: number | null;
}

/** A row of `note`. */
export interface NotePlan {
  noteId: number;
  atMs: number;
  kind: string;
  subject: string;
  text: string;
}
