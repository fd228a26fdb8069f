/** Who comes in: by the cookie of a browser's session, or by a secret that a program shows. */

import type { Context } from "hono";
import { getCookie, setCookie } from "hono/cookie";

import { isOwnOrigin } from "../../shared/runtime/serve.ts";
import { refuseJson } from "./answer.ts";
import { KEY_HEADER } from "./api.ts";
import {
  type OpenedSession,
  type Right,
  type Session,
  SESSION_MS_MAX,
  type Sessions,
  TOKEN_CHARS_MAX,
} from "./session.ts";

/** Cookies have no port, so that one name would be one session for all managers of a host. */
const COOKIE = "tendril_session";

/** Sessions at other ports of this host that a browser keeps; what is older is removed. */
const OTHERS_MAX = 8;

/** Seconds after which those who guess may try again. */
const RETRY_AFTER_S = "10";

/** Why somebody was turned away. */
export type EntryRefusal =
  /** Something was shown that is not known, or allows less. */
  | "session"
  /** A page of another origin. */
  | "origin";

/** Whoever came in. */
export interface Visitor {
  readonly right: Right;
  /** Of a browser. */
  readonly session: Session | undefined;
  /** It has a cookie alone, which others may have read, and is to show its key yet. */
  readonly lacksKey: boolean;
}

/** What an entry is made of. */
export interface EntryOptions {
  readonly sessions: Sessions;
  /** Its cookies are for TLS alone. */
  readonly isSecure: boolean;
  readonly refuse: (kind: EntryRefusal) => void;
}

/** The door of one dashboard. */
export class Entry {
  readonly #options: EntryOptions;

  constructor(options: EntryOptions) {
    this.#options = options;
  }

  /** Refuses a page of another origin; undefined of all others. */
  refuseForeign({ req }: Context): Response | undefined {
    // A page of another port of this host is of this site: its GETs come with cookies, and without
    // an `Origin`. All browsers since 2023 say whose they are.
    const site = req.header("origin") === undefined ? req.header("sec-fetch-site") : undefined;
    const isOwnSite = site === undefined || site === "same-origin" || site === "none";
    if (isOwnSite && isOwnOrigin(req.raw)) return undefined;
    this.#options.refuse("origin");
    return refuseJson(403, "Pages of another origin are not served");
  }

  /** Who asks; or the refusal. */
  admit(context: Context, wanted: Right = "look"): Visitor | Response {
    const visitor = this.admitLive(context);
    if (visitor instanceof Response) return visitor;
    if (visitor.lacksKey) return this.#refuseSession();
    if (wanted === "look" || visitor.right === "act") return visitor;
    this.#options.refuse("session");
    return refuseJson(403, "Cannot change anything with the right to look");
  }

  /** Likewise on a WebSocket, for which pages cannot set fields: the key may come as a frame. */
  admitLive(context: Context): Visitor | Response {
    const foreign = this.refuseForeign(context);
    if (foreign !== undefined) return foreign;
    const bearer = context.req.header("authorization");
    return bearer === undefined ? this.#bySession(context) : this.#byBearer(bearer);
  }

  /** Opens a session for a token or a secret, with its cookie; or the refusal. */
  open(context: Context, shown: string): OpenedSession | Response {
    const opened = this.#options.sessions.open(shown);
    if (opened === undefined) {
      return this.#refuseUnknown("Cannot take the token: it is not known, was used, or is too old");
    }
    const attributes = this.#attributes();
    const own = cookieName(context);
    const others = Object.keys(getCookie(context)).filter((name) => {
      return name.startsWith(COOKIE) && name !== own;
    });
    // Browsers send the oldest first: RFC 6265, 5.4.
    for (const name of others.slice(0, Math.max(0, others.length - OTHERS_MAX))) {
      setCookie(context, name, "", { ...attributes, maxAge: 0 });
    }
    setCookie(context, own, opened.id, { ...attributes, maxAge: SESSION_MS_MAX / 1_000 });
    return opened;
  }

  /** Ends the session of a browser. */
  close(context: Context): void {
    const own = cookieName(context);
    const id = getCookie(context, own);
    if (id !== undefined) this.#options.sessions.end(id.slice(0, TOKEN_CHARS_MAX));
    setCookie(context, own, "", { ...this.#attributes(), maxAge: 0 });
  }

  #attributes(): Parameters<typeof setCookie>[3] {
    return { path: "/", httpOnly: true, sameSite: "Strict", secure: this.#options.isSecure };
  }

  #bySession(context: Context): Visitor | Response {
    const id = getCookie(context, cookieName(context));
    const session = id === undefined || id.length > TOKEN_CHARS_MAX
      ? undefined
      : this.#options.sessions.find(id);
    if (session === undefined) return this.#refuseSession();
    const key = context.req.header(KEY_HEADER);
    const isWrong = key !== undefined && !this.#options.sessions.isKey(session, key);
    if (isWrong) return this.#refuseSession();
    return { right: session.right, session, lacksKey: key === undefined };
  }

  #refuseSession(): Response {
    this.#options.refuse("session");
    return refuseJson(401, "Cannot answer without a session: open a link of tendril dashboard");
  }

  #byBearer(header: string): Visitor | Response {
    const [, shown = ""] = /^Bearer +([\w.~+/-]+=*)$/i.exec(header) ?? [];
    const right = shown.length > TOKEN_CHARS_MAX
      ? undefined
      : this.#options.sessions.bySecret(shown);
    if (right !== undefined) return { right, session: undefined, lacksKey: false };
    return this.#refuseUnknown("Cannot answer without a viewer's or a client's secret");
  }

  #refuseUnknown(error: string): Response {
    const { sessions, refuse } = this.#options;
    refuse("session");
    if (!sessions.noteWrong()) return refuseJson(401, error);
    return refuseJson(429, `${error}; too many were wrong`, { "retry-after": RETRY_AFTER_S });
  }
}

function cookieName(context: Context): string {
  const [, port] = /:(\d{1,5})$/.exec(context.req.header("host") ?? "") ?? [];
  return port === undefined ? COOKIE : `${COOKIE}_${port}`;
}
