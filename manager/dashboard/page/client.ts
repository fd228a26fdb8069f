/**
 * Asks the manager, or the records that a page to send around carries in itself.
 *
 * @module
 */

import type {
  Answers,
  LiveHost,
  LiveOutput,
  Question,
  SessionInfo,
  SessionOpened,
} from "../api.ts";
import { API_VERSION, KEY_HEADER } from "../api.ts";
import { answerFromReport, openReport } from "../report_data.ts";
import { keepKey, readKey } from "./page_key.ts";
import { readToken } from "./route.ts";
import { makeStore, type Store } from "./store.ts";

/** May this browser see the run? */
export type SessionState =
  | { readonly kind: "opening" }
  /** It must show a token or a secret first; `message` says why the last was not taken. */
  | { readonly kind: "locked"; readonly message: string }
  | { readonly kind: "open"; readonly info: SessionInfo };

/** What a page to send around is. */
const REPORT_SESSION: SessionInfo = { version: API_VERSION, isLive: false, canAct: false };

/** Longest wait for one answer. */
const ANSWER_MS_MAX = 30_000;

/** Longest message of an error that is shown. */
const MESSAGE_LENGTH_MAX = 500;

/** May this browser see the run? */
export const session: Store<SessionState> = makeStore<SessionState>({ kind: "opening" });

/** A refusal of the manager; `status` is 0 when it could not be reached. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** Of a page to send around; undefined when a manager answers. */
let report: Awaited<ReturnType<typeof openReport>> | undefined;

/** Asks for something of the run. */
export async function ask<Asked extends Question>(
  question: Asked,
): Promise<Answers[Asked["kind"]]> {
  if (report === undefined) return await request("POST", "api/ask", question);
  type Found = Answers[Asked["kind"]];
  return answerFromReport<Question["kind"]>(report, question) as Found;
}

/** From now on, questions are answered from the packed records that came with the page. */
export async function answerFrom(packed: string): Promise<void> {
  report = await openReport(packed);
  session.set({ kind: "open", info: REPORT_SESSION });
}

/** Opens the session: with the one-time token of the address, else with what the browser has. */
export async function openSession(): Promise<void> {
  const token = location.hash.startsWith("#/") ? undefined : readToken(location.hash);
  // Before anything else: an address with a token must not stay in the history.
  if (token !== undefined) history.replaceState(null, "", "#/");
  const refusal = token === undefined ? "" : await logIn(token);
  try {
    session.set({ kind: "open", info: await request<SessionInfo>("GET", "api/session") });
  } catch (error) {
    if (!(error instanceof RequestError) || error.status !== 401) throw error;
    session.set({ kind: "locked", message: refusal });
  }
}

/** Shows a token or a secret; returns why it was not taken, else nothing. */
export async function logIn(token: string): Promise<string> {
  try {
    keepKey((await request<SessionOpened>("POST", "session", { token })).key);
    return "";
  } catch (error) {
    if (error instanceof RequestError && error.status === 0) return error.message;
    return "The manager does not know that token: each link works once, for ten minutes";
  }
}

/** Why a task waits, in words. Of a running manager only. */
export async function explain(taskId: number): Promise<string> {
  return (await request<{ readonly text: string }>("GET", `api/tasks/${taskId}/explain`)).text;
}

/** What a task has written so far, or undefined when it is not kept. */
export async function output(taskId: number): Promise<LiveOutput | undefined> {
  try {
    return await request<LiveOutput>("GET", `api/tasks/${taskId}/output`);
  } catch (error) {
    if (error instanceof RequestError && error.status === 404) return undefined;
    throw error;
  }
}

/** Hosts that get no work. */
export async function hosts(): Promise<readonly LiveHost[]> {
  return (await request<{ readonly hosts: readonly LiveHost[] }>("GET", "api/hosts")).hosts;
}

/** Lets a host end what it runs, keeps work from it, or gives it work again. */
export async function act(host: string, change: "drain" | "block" | "unblock"): Promise<void> {
  await request("POST", `api/hosts/${encodeURIComponent(host)}`, { change });
}

/** Sends a request and returns the JSON that came back. */
async function request<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  let response: Response;
  const key = readKey();
  try {
    response = await fetch(path, {
      method,
      headers: {
        accept: "application/json",
        "content-type": "application/json",
        ...(key !== undefined && { [KEY_HEADER]: key }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new RequestError(`Cannot reach the manager: ${found}`, 0);
  }
  const text = await response.text();
  if (!response.ok) {
    if (response.status === 401 && session.get().kind === "open") {
      session.set({ kind: "locked", message: "The session is over" });
    }
    throw new RequestError(messageOf(text) || response.statusText, response.status);
  }
  return (text === "" ? undefined : JSON.parse(text)) as Answer;
}

/** The manager tells why as `{ error }`, as `{ message }` or as text. */
function messageOf(text: string): string {
  let message = text;
  try {
    const body = JSON.parse(text) as { readonly error?: unknown; readonly message?: unknown };
    message = String(body.error ?? body.message ?? text);
  } catch {
    // It is text.
  }
  return message.slice(0, MESSAGE_LENGTH_MAX);
}
