/** Numbers of all that has happened, for summaries. */

/** Numbers that are kept as things happen, so that a summary costs nothing. */
export interface Counters {
  submitted: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  waiting: number;
  ready: number;
  dispatched: number;
  /** Tries that have begun and not ended, as far as is known; those of lost tasks among them. */
  running: number;
  retrieving: number;
  triesStarted: number;
  recoveries: number;
  /** Recoveries that wait for inputs or room now, and those at workers. */
  recoveriesWaiting: number;
  recoveriesRunning: number;
  /** Makings whose contents were other than those of the making before. */
  nondeterministic: number;
  /** Copies that workers found damaged, and dropped. */
  replicasDamaged: number;
  managerToWorkerBytes: number;
  workerToWorkerBytes: number;
  workerToManagerBytes: number;
  urlToWorkerBytes: number;
  workerToUrlBytes: number;
}

/** Of a manager that has done nothing yet. */
export function newCounters(): Counters {
  return {
    submitted: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    waiting: 0,
    ready: 0,
    dispatched: 0,
    running: 0,
    retrieving: 0,
    triesStarted: 0,
    recoveries: 0,
    recoveriesWaiting: 0,
    recoveriesRunning: 0,
    nondeterministic: 0,
    replicasDamaged: 0,
    managerToWorkerBytes: 0,
    workerToWorkerBytes: 0,
    workerToManagerBytes: 0,
    urlToWorkerBytes: 0,
    workerToUrlBytes: 0,
  };
}
