/**
 * Who may look at the dashboard, and who may act: links that work once, sessions of browsers, and the
 * secrets of the access file for programs.
 *
 * Links and sessions are random texts of 256 bits and are kept as their digests, so that the memory
 * of a manager does not give them away; they are found by digest, which tells nothing of how near a
 * guess was. The number of links and of sessions is limited for each right by itself: whoever may
 * only look cannot crowd out whoever may act.
 *
 * @module
 */

import { createHash, timingSafeEqual } from "node:crypto";

import { newSecret, type Secrets } from "../../shared/handshake.ts";

/** What somebody may do: see all, or change hosts besides. */
export type Right = "look" | "act";

/** Time for which a link works. */
export const LINK_MS_MAX: number = 10 * 60_000;

/** Time for which a session lasts. */
export const SESSION_MS_MAX: number = 7 * 24 * 60 * 60_000;

/** Links of one right that wait to be used; the oldest goes for a new one. */
export const LINKS_MAX = 50;

/** Sessions of one right; the one that was not used for longest goes for a new one. */
export const SESSIONS_MAX = 500;

/** What was not known, in `WRONG_WINDOW_MS`, before those who guess are told to wait. */
export const WRONG_MAX = 20;
const WRONG_WINDOW_MS = 10_000;

/** Characters of a token or a secret that are looked at. */
export const TOKEN_CHARS_MAX = 256;

/** One session. */
export interface Session {
  readonly right: Right;
  readonly endsAtMs: number;
  /** Of what its page shows besides the cookie, which servers at other ports are shown too. */
  readonly keyDigest: Uint8Array;
  /** It was given up, or had to go. */
  isEnded: boolean;
}

/** What a browser is given: `id` as a cookie, and `key` for its page. */
export interface OpenedSession {
  readonly id: string;
  readonly key: string;
  readonly session: Session;
}

interface Link {
  readonly right: Right;
  readonly endsAtMs: number;
}

/** What a gate is made of. */
export interface SessionsOptions {
  /** A role without a secret does not come in. */
  readonly secrets: Secrets;
  /** Milliseconds that do not jump. Default `performance.now`. */
  readonly nowMs?: () => number;
}

/** The links and the sessions of one dashboard. */
export class Sessions {
  readonly #secrets: readonly { readonly digest: Uint8Array; readonly right: Right }[];
  readonly #nowMs: () => number;
  /** By digest, the oldest first. */
  readonly #links: Readonly<Record<Right, Map<string, Link>>> = { look: new Map(), act: new Map() };
  /** By digest, the one that was not used for longest first. */
  readonly #sessions: Readonly<Record<Right, Map<string, Session>>> = {
    look: new Map(),
    act: new Map(),
  };
  #wrongCount = 0;
  #wrongSinceMs = 0;

  constructor({ secrets, nowMs = () => performance.now() }: SessionsOptions) {
    this.#nowMs = nowMs;
    const { client, viewer } = secrets;
    this.#secrets = [
      ...(client ? [{ digest: digestOf(client), right: "act" as const }] : []),
      ...(viewer ? [{ digest: digestOf(viewer), right: "look" as const }] : []),
    ];
  }

  /** A token that opens one session, once, with that right. */
  newToken(right: Right): string {
    const token = newSecret();
    const links = this.#links[right];
    links.set(keyOf(token), { right, endsAtMs: this.#nowMs() + LINK_MS_MAX });
    dropFirst(links, LINKS_MAX);
    return token;
  }

  /** Opens a session for a token, which works no more, or a secret; undefined when it is neither. */
  open(shown: string): OpenedSession | undefined {
    const right = this.#takeToken(shown) ?? this.bySecret(shown);
    if (right === undefined) return undefined;
    const [id, key] = [newSecret(), newSecret()];
    const endsAtMs = this.#nowMs() + SESSION_MS_MAX;
    const session: Session = { right, endsAtMs, keyDigest: digestOf(key), isEnded: false };
    const sessions = this.#sessions[right];
    sessions.set(keyOf(id), session);
    const dropped = dropFirst(sessions, SESSIONS_MAX);
    if (dropped !== undefined) dropped.isEnded = true;
    return { id, key, session };
  }

  /** The session of that id, while it lasts. */
  find(id: string): Session | undefined {
    const key = keyOf(id);
    for (const sessions of Object.values(this.#sessions)) {
      const session = sessions.get(key);
      if (session === undefined) continue;
      sessions.delete(key);
      if (!this.isOpen(session)) return undefined;
      sessions.set(key, session);
      return session;
    }
    return undefined;
  }

  /** True while a session lasts. */
  isOpen({ endsAtMs, isEnded }: Session): boolean {
    return !isEnded && this.#nowMs() < endsAtMs;
  }

  /** True of the key of that session. */
  isKey({ keyDigest }: Session, shown: string): boolean {
    return timingSafeEqual(digestOf(shown), keyDigest);
  }

  /** Ends the session of that id, if there is one. */
  end(id: string): void {
    const key = keyOf(id);
    for (const sessions of Object.values(this.#sessions)) {
      const session = sessions.get(key);
      if (session !== undefined) session.isEnded = true;
      sessions.delete(key);
    }
  }

  /** What whoever shows a secret may do; compared in a time that does not depend on it. */
  bySecret(shown: string): Right | undefined {
    const given = digestOf(shown);
    let found: Right | undefined;
    for (const { digest, right } of this.#secrets) {
      if (timingSafeEqual(given, digest)) found = right;
    }
    return found;
  }

  /**
   * Notes that something was shown that is not known; true when it was not the first for a while,
   * and whoever does so is to wait. What is right is taken all the same: nobody is locked out by
   * those who guess, and 256 bits are not guessed.
   */
  noteWrong(): boolean {
    const nowMs = this.#nowMs();
    if (nowMs - this.#wrongSinceMs > WRONG_WINDOW_MS) {
      this.#wrongSinceMs = nowMs;
      this.#wrongCount = 0;
    }
    this.#wrongCount += 1;
    return this.#wrongCount > WRONG_MAX;
  }

  #takeToken(token: string): Right | undefined {
    const key = keyOf(token);
    for (const links of Object.values(this.#links)) {
      const link = links.get(key);
      links.delete(key);
      if (link !== undefined && this.#nowMs() < link.endsAtMs) return link.right;
    }
    return undefined;
  }
}

/** Drops the first entry when there are more than `most`. */
function dropFirst<T>(entries: Map<string, T>, most: number): T | undefined {
  if (entries.size <= most) return undefined;
  for (const [key, entry] of entries) {
    entries.delete(key);
    return entry;
  }
  return undefined;
}

function digestOf(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function keyOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}
