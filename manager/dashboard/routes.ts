/**
 * What the dashboard serves: its page to anybody, and what it shows to whoever has a session or a
 * secret. What is live is given as functions, so that the records of a past run are served alike.
 *
 * @module
 */

import type { Context, Hono } from "hono";

import { type Check, name, oneOf, shape, text } from "../../shared/message_check.ts";
import { plainText } from "../../shared/plain_text.ts";
import { upgradeSocket } from "../../shared/runtime/serve.ts";
import { answerJson, answerText, refuseJson } from "./answer.ts";
import {
  API_VERSION,
  type LiveHost,
  type LiveOutput,
  type SessionInfo,
  type SessionOpened,
} from "./api.ts";
import { type Ask, AskDesk, BusyError } from "./ask_desk.ts";
import { addAssets } from "./assets.ts";
import { BodyError, readBody } from "./body.ts";
import { Entry, type EntryRefusal, type Visitor } from "./entry.ts";
import { LiveDesk, type LiveState } from "./live.ts";
import { dashboardPage, type Page } from "./page_bundle.ts";
import { readQuestion } from "./question.ts";
import { type Right, type Sessions, TOKEN_CHARS_MAX } from "./session.ts";

/** What can be done to a host. */
export type HostChange = "drain" | "block" | "unblock";

/** Why something was turned away. */
export type DashboardRefusal =
  | EntryRefusal
  | "body"
  | "request"
  | "connection"
  | "frame"
  | "backlog";

/** What Prometheus reads. */
export interface MetricsAnswer {
  readonly contentType: string;
  readonly text: string;
}

/** What only a running manager knows, and does. */
export interface RunningManager {
  /** As `tendril status --json`. */
  readonly status: () => object;
  /** Why a task does not run, or how it does; undefined when it is not remembered. */
  readonly explain: (taskId: number) => string | undefined;
  /** What a task wrote, or has written so far; undefined when it is not kept. */
  readonly output: (taskId: number) => Promise<LiveOutput | undefined>;
  /** Those that get no work. */
  readonly hosts: () => readonly LiveHost[];
  readonly changeHost: (host: string, change: HostChange) => void;
  /** All numbers for Prometheus, in the format that such a header `Accept` asks for. */
  readonly metrics: (accept: string | undefined) => MetricsAnswer;
  /** How the run stands; looked at twice a second while somebody wants to know. */
  readonly look: () => LiveState;
}

/** What a dashboard is made of. */
export interface DashboardOptions {
  readonly sessions: Sessions;
  /** It is served over TLS. */
  readonly isSecure: boolean;
  readonly ask: Ask;
  /** Absent of a past run. */
  readonly running?: RunningManager;
  readonly refuse: (kind: DashboardRefusal) => void;
  /** Default `dashboardPage`. */
  readonly page?: () => Promise<Page>;
  /** Lets those go who look on. */
  readonly closing?: AbortSignal;
}

/** Characters of the name of a host, DNS has 253. */
const HOST_CHARS_MAX = 256;

/** Of what is told of an answer that failed. */
const FAULT_CHARS_MAX = 500;

const readToken = readerOf("token", shape<{ token: string }>({ token: text(TOKEN_CHARS_MAX) }));
const readChange = readerOf(
  "change of a host",
  shape<{ change: HostChange }>({ change: oneOf<HostChange>(["drain", "block", "unblock"]) }),
);
const hostName = name(HOST_CHARS_MAX);

/** `{route: the methods that it takes}`. */
const METHODS: Readonly<Record<string, string>> = {
  "/": "GET",
  "/assets/*": "GET",
  "/session": "POST, DELETE",
  "/api/session": "GET",
  "/api/ask": "POST",
};
const RUNNING_METHODS: Readonly<Record<string, string>> = {
  "/api/status": "GET",
  "/api/tasks/:id/explain": "GET",
  "/api/tasks/:id/output": "GET",
  "/api/hosts": "GET",
  "/api/hosts/:host": "POST",
  "/live": "GET",
  "/metrics": "GET",
};

type Handler = (context: Context, visitor: Visitor) => Response | Promise<Response>;

/** Adds the routes of a dashboard. */
export function addDashboardRoutes(app: Hono, options: DashboardOptions): void {
  const { running, refuse, closing } = options;
  const routes = new Routes(app, options);
  addAssets(app, options.page ?? dashboardPage);
  routes.addSession();
  routes.addRecords();
  if (running !== undefined) {
    const live = new LiveDesk({ look: running.look, refuse });
    closing?.addEventListener("abort", () => live.close(), { once: true });
    routes.addRunning(running, live);
  }
  const methods = { ...METHODS, ...(running === undefined ? {} : RUNNING_METHODS) };
  for (const [route, allow] of Object.entries(methods)) {
    app.all(route, () => {
      refuse("request");
      return refuseJson(405, `Cannot do that here: ${allow} only`, { allow });
    });
  }
}

class Routes {
  readonly #app: Hono;
  readonly #options: DashboardOptions;
  readonly #entry: Entry;

  constructor(app: Hono, options: DashboardOptions) {
    this.#app = app;
    this.#options = options;
    this.#entry = new Entry(options);
  }

  addSession(): void {
    this.#app.post("/session", async (context) => {
      const foreign = this.#entry.refuseForeign(context);
      if (foreign !== undefined) return foreign;
      return await this.#withBody(context, readToken, ({ token }) => {
        const opened = this.#entry.open(context, token);
        if (opened instanceof Response) return opened;
        const told: SessionOpened = { ...this.#infoOf(opened.session.right), key: opened.key };
        return this.#withCookies(context, told);
      });
    });
    this.#app.delete("/session", (context) => {
      const foreign = this.#entry.refuseForeign(context);
      if (foreign !== undefined) return foreign;
      this.#entry.close(context);
      return this.#withCookies(context, {});
    });
    this.#app.get(
      "/api/session",
      this.#guard("look", (_context, { right }) => {
        return answerJson(this.#infoOf(right));
      }),
    );
  }

  addRecords(): void {
    const desk = new AskDesk(this.#options.ask);
    this.#app.post(
      "/api/ask",
      this.#guard("look", (context) => {
        return this.#withBody(context, readQuestion, async (question) => {
          try {
            const answer = await desk.ask(question);
            // Not a failure of the manager: it has had nothing to do.
            return answer === undefined
              ? refuseJson(404, "Cannot ask the records: nothing is recorded yet")
              : answerText(answer);
          } catch (error) {
            if (error instanceof BusyError) this.#options.refuse("connection");
            return refuseJson(503, faultOf(error), { "retry-after": "1" });
          }
        });
      }),
    );
  }

  addRunning(running: RunningManager, live: LiveDesk): void {
    const app = this.#app;
    app.get("/api/status", this.#guard("look", () => answerJson(running.status())));
    app.get(
      "/metrics",
      this.#guard("look", (context) => {
        const { text, contentType } = running.metrics(context.req.header("accept"));
        return answerText(text, contentType);
      }),
    );
    app.get(
      "/api/tasks/:id/explain",
      this.#ofTask((id) => {
        const text = running.explain(id);
        return text === undefined ? undefined : { text };
      }),
    );
    app.get("/api/tasks/:id/output", this.#ofTask(running.output));
    app.get("/api/hosts", this.#guard("look", () => answerJson({ hosts: running.hosts() })));
    app.post(
      "/api/hosts/:host",
      this.#guard("act", (context) => {
        const host = context.req.param("host") ?? "";
        const failure = hostName(host);
        if (failure !== undefined) return this.#refuseRequest(`Cannot take the host: it${failure}`);
        return this.#withBody(context, readChange, ({ change }) => {
          running.changeHost(host, change);
          return answerJson({ host, change });
        });
      }),
    );
    app.get(
      "/live",
      upgradeSocket((context) => {
        const visitor = this.#entry.admitLive(context);
        if (visitor instanceof Response) return visitor;
        const { session, lacksKey } = visitor;
        const { sessions } = this.#options;
        if (session === undefined) return live.accept(() => true);
        const isKey = (shown: string): boolean => sessions.isKey(session, shown);
        return live.accept(() => sessions.isOpen(session), lacksKey ? isKey : undefined);
      }),
    );
  }

  #guard(wanted: Right, handle: Handler): (context: Context) => Promise<Response> {
    return async (context) => {
      const visitor = this.#entry.admit(context, wanted);
      return visitor instanceof Response ? visitor : await handle(context, visitor);
    };
  }

  /** What there is to tell of a task; 404 when that is nothing. */
  #ofTask(
    tell: (taskId: number) => object | undefined | Promise<object | undefined>,
  ): (context: Context) => Promise<Response> {
    return this.#guard("look", async (context) => {
      const id = context.req.param("id") ?? "";
      if (!/^[1-9]\d{0,14}$/.test(id)) return this.#refuseRequest("Cannot take the id as a task's");
      const told = await tell(Number(id));
      return told === undefined
        ? refuseJson(404, `Cannot find that of task ${id}: it is not kept`)
        : answerJson(told);
    });
  }

  #refuseRequest(error: string): Response {
    this.#options.refuse("request");
    return refuseJson(400, error);
  }

  async #withBody<T>(
    context: Context,
    read: (value: unknown) => T,
    use: (body: T) => Response | Promise<Response>,
  ): Promise<Response> {
    let body: T;
    try {
      body = await readBody(context, read);
    } catch (error) {
      if (!(error instanceof BodyError)) throw error;
      this.#options.refuse("body");
      return refuseJson(error.status, error.message);
    }
    return await use(body);
  }

  /** The answer with the cookies that were set while it was made. */
  #withCookies(context: Context, told: object): Response {
    const answer = answerJson(told);
    for (const cookie of context.res.headers.getSetCookie()) {
      answer.headers.append("set-cookie", cookie);
    }
    return answer;
  }

  #infoOf(right: Right): SessionInfo {
    const isLive = this.#options.running !== undefined;
    return { version: API_VERSION, isLive, canAct: isLive && right === "act" };
  }
}

/** What `check` accepts, or a TypeError that names `what`. */
function readerOf<T>(what: string, check: Check<T>): (value: unknown) => T {
  return (value) => {
    const failure = check(value);
    // What has passed the check is a `T`.
    if (failure === undefined) return value as T;
    throw new TypeError(`Cannot read the body as a ${what}: body${failure}`);
  };
}

function faultOf(error: unknown): string {
  return plainText(error instanceof Error ? error.message : String(error), FAULT_CHARS_MAX);
}
