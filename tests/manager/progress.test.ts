import { expect, test } from "bun:test";

import { describeEnd, describeProgress, Progress } from "../../manager/progress.ts";
import { Refusals } from "../../manager/refusal.ts";
import type { ManagerStatus } from "../../manager/status.ts";

const NO_DISK = { diskBytes: 0, diskUsedBytes: 0 };

const COUNTS: ManagerStatus["tasks"] = {
  submitted: 10,
  waiting: 1,
  ready: 3,
  dispatched: 1,
  retrieving: 1,
  succeeded: 3,
  failed: 1,
  cancelled: 0,
  triesStarted: 6,
  recoveries: 0,
  recoveriesWaiting: 0,
  recoveriesRunning: 0,
  nondeterministic: 0,
};

function statusWith(tasks: Partial<ManagerStatus["tasks"]> = {}): ManagerStatus {
  return {
    version: 1,
    name: "blast",
    url: "http://127.0.0.1:1",
    urls: ["http://127.0.0.1:1"],
    startedAtMs: 1_000_000,
    tasks: { ...COUNTS, ...tasks },
    workers: { connected: 2, away: 0, cores: 2, coresCommitted: 1, ...NO_DISK },
    bytes: {
      managerToWorker: 1e6,
      workerToWorker: 5e5,
      workerToManager: 0,
      urlToWorker: 0,
      workerToUrl: 0,
    },
    files: 0,
    transfers: 0,
    damaged: 0,
    libraries: 0,
    unplaceable: [],
    refused: new Refusals().counts(),
  };
}

test("describeProgress() tells of tasks, workers, bytes, rate and time left", () => {
  expect(describeProgress(statusWith(), 1_002_000)).toBe(
    "tasks: 4/10 done, 4 waiting, 2 running, 1 failed; workers: 2; moved: 1.5 MB; 2.0/s; " +
      "about 3 s left",
  );
});

test("describeProgress() says how to start a worker when none has come", () => {
  const status = {
    ...statusWith(),
    workers: { connected: 0, away: 0, cores: 0, coresCommitted: 0, ...NO_DISK },
  };
  expect(describeProgress(status, 1_000_100)).toContain("workers: 0;");
  expect(describeProgress(status, 1_009_000)).toContain(
    'workers: none, start with "tendril worker --name blast";',
  );
  const away = { ...status, workers: { ...status.workers, away: 1 } };
  expect(describeProgress(away, 1_009_000)).toContain("workers: 0 (1 away);");
});

test("describeEnd() leaves out what did not happen", () => {
  expect(describeEnd(statusWith({ failed: 0, succeeded: 10 }), 1_004_000)).toBe(
    "tasks: 10 succeeded; in 4 s, 2.5/s; moved: 1.5 MB",
  );
  expect(describeEnd(statusWith({ cancelled: 2 }), 1_004_000)).toContain(
    "3 succeeded, 1 failed, 2 cancelled, 4 unfinished; in",
  );
});

/** A terminal that keeps what is on it. */
function screen({ isTTY, columns }: { isTTY: boolean; columns?: number }) {
  let text = "";
  const waiting: (() => void)[] = [];
  return {
    isTTY,
    columns,
    write(part: string) {
      text += part;
      for (const wake of waiting.splice(0)) wake();
    },
    /** Lines as a person sees them. */
    lines: () => text.split("\n").map((line) => line.split("\r\x1b[K").at(-1)),
    written: () => new Promise<void>((resolve) => waiting.push(resolve)),
  };
}

test("Progress redraws one line on a terminal, which goes for the end", async () => {
  const terminal = screen({ isTTY: true, columns: 20 });
  let clear = () => {};
  let isReleased = false;
  const beforeOutput = (clearLine: () => void) => {
    clear = clearLine;
    return () => void (isReleased = true);
  };
  {
    using _progress = new Progress({ status: () => statusWith(), terminal, beforeOutput });
    await terminal.written();
    expect(terminal.lines()).toEqual(["tasks: 4/10 done, 4"]);
    clear();
    expect(terminal.lines()).toEqual([""]);
    await terminal.written();
    expect(terminal.lines()).toEqual(["tasks: 4/10 done, 4"]);
  }
  expect(isReleased).toBe(true);
  expect(terminal.lines()).toEqual([expect.stringMatching(/^tasks: 3 succeeded, 1 failed/), ""]);
});

test("Progress writes plain lines to a pipe, and nothing when there was no task", () => {
  const terminal = screen({ isTTY: false });
  const beforeOutput = () => {
    throw new Error("nothing is drawn on a pipe");
  };
  new Progress({ status: () => statusWith({ submitted: 0 }), terminal, beforeOutput })
    [Symbol.dispose]();
  expect(terminal.lines()).toEqual([""]);
  new Progress({ status: () => statusWith(), terminal, beforeOutput })[Symbol.dispose]();
  expect(terminal.lines()).toEqual([expect.stringMatching(/^tasks: 3 succeeded/), ""]);
});
