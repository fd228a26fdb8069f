/** A dashboard on a real port, of a run that is made up. */

import { Hono } from "hono";

import { KEY_HEADER, type Question, type SessionOpened } from "../../../manager/dashboard/api.ts";
import type { Ask } from "../../../manager/dashboard/ask_desk.ts";
import type { LiveState } from "../../../manager/dashboard/live.ts";
import {
  addDashboardRoutes,
  type DashboardOptions,
  type RunningManager,
} from "../../../manager/dashboard/routes.ts";
import { Sessions } from "../../../manager/dashboard/session.ts";
import { serve, type Server } from "../../../shared/runtime/serve.ts";
import { NOTHING_YET } from "./live_state.ts";

/** Secrets of the made-up manager. */
export const SECRETS = { client: "client-secret", viewer: "viewer-secret" } as const;

/** What a request may have besides. */
export interface AskOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly cookie?: string | undefined;
  readonly headers?: { readonly [name: string]: string };
}

/** An answer, read. */
export interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** What the text says as JSON; undefined when it is none. */
  readonly json: unknown;
}

const STATE: LiveState = {
  ...NOTHING_YET,
  recordedAtMs: 1,
  counts: { ...NOTHING_YET.counts, running: 1, submitted: 2, succeeded: 1 },
  workersConnected: 1,
  cores: 4,
  coresCommitted: 1,
};

/** The server, and what was asked of the run. */
export class DashboardServer implements AsyncDisposable {
  readonly sessions: Sessions;
  readonly refused: string[] = [];
  readonly questions: Question[] = [];
  readonly changes: string[] = [];
  nowMs = 0;
  lookCount = 0;
  state: LiveState = STATE;
  answer: Ask = (question) =>
    Promise.resolve(new TextEncoder().encode(JSON.stringify({ kind: question.kind })));
  readonly #server: Server;
  /** Of the sessions that were opened here, by cookie. */
  readonly #keys: Map<string, string> = new Map();
  readonly #closing: AbortController = new AbortController();

  constructor(options: Partial<DashboardOptions> & { readonly isPast?: boolean } = {}) {
    this.sessions = new Sessions({ secrets: SECRETS, nowMs: () => this.nowMs });
    const app = new Hono();
    const { isPast = false, ...others } = options;
    addDashboardRoutes(app, {
      sessions: this.sessions,
      isSecure: false,
      ask: (question) => {
        this.questions.push(question);
        return this.answer(question);
      },
      ...(isPast ? {} : { running: this.#running() }),
      refuse: (kind) => void this.refused.push(kind),
      page: () => Promise.resolve({ html: "<p>", script: "0;".repeat(1_000), style: "p{}" }),
      closing: this.#closing.signal,
      ...others,
    });
    this.#server = serve(app, { refused: (kind) => void this.refused.push(kind) });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** As browsers state it. */
  get host(): string {
    return new URL(this.url).host;
  }

  /** Sends a request. */
  async ask(path: string, options: AskOptions = {}): Promise<Asked> {
    const { body, cookie, headers = {} } = options;
    const text = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
    const response = await fetch(`${this.url}${path}`, {
      method: options.method ?? (body === undefined ? "GET" : "POST"),
      headers: { ...this.keyOf(cookie), ...headers, ...(cookie === undefined ? {} : { cookie }) },
      ...(text === undefined ? {} : { body: text }),
    });
    const said = await response.text();
    return { status: response.status, headers: response.headers, text: said, json: parse(said) };
  }

  /** Opens a session for a token or a secret; gives the cookie as a browser sends it back. */
  async open(token: string): Promise<string> {
    const { headers, json } = await this.ask("/session", { body: { token } });
    const cookie = headers.getSetCookie()[0]?.split(";")[0] ?? "";
    this.#keys.set(cookie, (json as SessionOpened).key);
    return cookie;
  }

  /** What a page of the session of that cookie shows besides; empty of others. */
  keyOf(cookie: string | undefined): { readonly [KEY_HEADER]?: string } {
    const key = this.#keys.get(cookie ?? "");
    return key === undefined ? {} : { [KEY_HEADER]: key };
  }

  /** A session of whoever may only look, as a cookie. */
  asViewer(): Promise<string> {
    return this.open(SECRETS.viewer);
  }

  /** A session of whoever may act, as a cookie. */
  asClient(): Promise<string> {
    return this.open(SECRETS.client);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#server.close();
  }

  #running(): RunningManager {
    return {
      status: () => ({ version: 1 }),
      explain: (taskId) => taskId === 7 ? "task 7 waits" : undefined,
      output: (taskId) =>
        Promise.resolve(
          taskId === 7 ? { stdout: "out", stderr: "err", isRunning: true } : undefined,
        ),
      hosts: () => [{ host: "node1", state: "blocked", reason: "it failed" }],
      changeHost: (host, change) => void this.changes.push(`${change} ${host}`),
      metrics: (accept) => ({ contentType: "text/plain; version=0.0.4", text: `m 1 ${accept}\n` }),
      look: () => {
        this.lookCount += 1;
        return this.state;
      },
    };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
