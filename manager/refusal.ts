/** What a manager has turned away, counted by kind, for `status`. */

/** Why something was turned away. */
export type RefusalKind =
  /** A handshake with a wrong secret, role, protocol or message. */
  | "handshake"
  /** A connection that did not finish its handshake, or say hello, in time. */
  | "handshake_timeout"
  /** Too many connections, or handshakes under way. */
  | "connection"
  /** An upgrade by a page of another origin. */
  | "origin"
  /** A request under a name that is not this server's (DNS rebinding). */
  | "host"
  /** A request by a wrong method, for no route, with headers or a body beyond the limits. */
  | "request"
  /** No ticket, or one that is forged, expired, or for another file, method or server. */
  | "ticket"
  /** A token, session or secret of the dashboard that is not known, or allows less. */
  | "session"
  /** A frame that breaks the rules. */
  | "frame"
  /** A client's request that cannot be honoured, or comes too often. */
  | "client_request"
  /** A worker that says what cannot be: of tries, replicas, sizes, digests, resources. */
  | "lie"
  /** A connection that sends more than can be taken. */
  | "flood"
  /** A connection that does not read what it is sent. */
  | "backlog"
  /** A body that is too slow, too long, too short, or not what was announced. */
  | "body";

/** How often each was turned away since the manager started. */
export type RefusalCounts = { readonly [Kind in RefusalKind]: number };

/** Counts refusals. */
export class Refusals {
  readonly #counts: { [Kind in RefusalKind]: number } = {
    handshake: 0,
    handshake_timeout: 0,
    connection: 0,
    origin: 0,
    host: 0,
    request: 0,
    ticket: 0,
    session: 0,
    frame: 0,
    client_request: 0,
    lie: 0,
    flood: 0,
    backlog: 0,
    body: 0,
  };

  /** Counts one more, or several; can be passed on as it is. */
  readonly count = (kind: RefusalKind, more: number = 1): void => {
    this.#counts[kind] += more;
  };

  /** The counts now. */
  counts(): RefusalCounts {
    return { ...this.#counts };
  }
}
