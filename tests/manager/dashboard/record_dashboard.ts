/** A dashboard over a database of a made-up run, with a stand-in for its running manager if wanted. */

import { DatabaseSync } from "node:sqlite";

import { Hono } from "hono";

import type { LiveHost, LiveOutput } from "../../../manager/dashboard/api.ts";
import { answer } from "../../../manager/dashboard/queries/answer.ts";
import { addDashboardRoutes, type RunningManager } from "../../../manager/dashboard/routes.ts";
import { type Right, Sessions } from "../../../manager/dashboard/session.ts";
import { serve } from "../../../shared/runtime/serve.ts";
import { fillSyntheticRun, type SyntheticOptions } from "../monitoring/synthetic_run.ts";

/** What only a running manager knows. */
export interface StandIn {
  /** `{host: how it stands}` of those that get no work. */
  readonly hosts: Map<string, LiveHost>;
  /** What tasks have written. */
  output: LiveOutput;
}

/** A dashboard that is served. */
export interface RecordDashboard extends AsyncDisposable {
  readonly url: string;
  readonly db: DatabaseSync;
  readonly standIn: StandIn;
  /** An address that works once. */
  link(right?: Right): string;
  /** Stops the server; the address stays free for `start`. */
  stop(): Promise<void>;
  start(): void;
}

/** Serves a made-up run: with `isLive` as one that goes on, else as a record. */
export function serveRecord(
  options: SyntheticOptions & { readonly isLive: boolean },
): RecordDashboard {
  const db = new DatabaseSync(":memory:");
  fillSyntheticRun(db, options);
  const sessions = new Sessions({ secrets: {} });
  const standIn: StandIn = {
    hosts: new Map(),
    output: { stdout: "", stderr: "", isRunning: false },
  };
  const app = new Hono();
  const closing = new AbortController();
  addDashboardRoutes(app, {
    closing: closing.signal,
    sessions,
    isSecure: false,
    ask: (question) => {
      return Promise.resolve(new TextEncoder().encode(JSON.stringify(answer(db, question))));
    },
    refuse: () => {},
    ...(options.isLive && { running: runningOf(db, standIn) }),
  });
  let server = serve(app);
  const { port } = server;
  const url = `http://127.0.0.1:${port}/`;
  return {
    url,
    db,
    standIn,
    link: (right = "act") => `${url}#${sessions.newToken(right)}`,
    stop: () => server.close(),
    start: () => {
      server = serve(app, { port });
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      await server.close();
      db.close();
    },
  };
}

function runningOf(db: DatabaseSync, standIn: StandIn): RunningManager {
  const { hosts } = standIn;
  return {
    status: () => ({}),
    explain: (taskId) => `Task ${taskId} waits for a core`,
    output: () => Promise.resolve(standIn.output),
    hosts: () => [...hosts.values()],
    changeHost: (host, change) => {
      const state = change === "block" ? "blocked" : "draining";
      if (change === "unblock") hosts.delete(host);
      else hosts.set(host, { host, state, reason: "by a person" });
    },
    metrics: () => ({ contentType: "text/plain", text: "" }),
    look: () => {
      const { recordedAtMs } = answer(db, { kind: "run" });
      const { now, bytes, series } = answer(db, { kind: "overview", points: 2 });
      return {
        recordedAtMs,
        counts: now,
        workersConnected: series.workers.at(-1) ?? 0,
        workersAway: 0,
        cores: series.cores.at(-1) ?? 0,
        coresCommitted: series.coresCommitted.at(-1) ?? 0,
        bytes,
        transfers: 0,
      };
    },
  };
}
