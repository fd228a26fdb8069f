/**
 * What clients follow. A client asks for one part after the other and says with each what it has,
 * so that a slow one holds up nothing but its own reading, and one whose connection broke goes on
 * where it was. Between two requests a reader of its own waits here, which goes with the connection.
 *
 * @module
 */

import type { Catalog } from "./catalog.ts";
import type { Asker } from "./client_link.ts";
import type { ClientAnswer, ClientRequest } from "./client_protocol.ts";
import { Follower, type FollowPart, restOf } from "./follower.ts";
import type { OutputLog } from "./output_log.ts";
import type { TailDesk } from "./tail_desk.ts";

/** What one client follows at the same time, and all of them together. */
const CLIENT_FOLLOWS_MAX = 64;
const FOLLOWS_MAX = 1000;

type Wish = Extract<ClientRequest, { kind: "follow" }>;

/** What the answers are made of. */
export interface ClientFollowsOptions {
  readonly catalog: Pick<Catalog, "get">;
  readonly output: Pick<OutputLog, "read">;
  readonly tails: Pick<TailDesk, "open">;
}

/** One client's reading of one stream or file. */
interface Reading {
  readonly clientId: string;
  readonly follower: Follower;
  /** What the client was given. */
  try: number;
  byte: number;
  isAsked: boolean;
}

/** The readings of all clients of one manager. */
export class ClientFollows {
  readonly #options: ClientFollowsOptions;
  /** `{client and follow: its reading}` */
  readonly #readings: Map<string, Reading> = new Map();

  constructor(options: ClientFollowsOptions) {
    this.#options = options;
  }

  /** Answers with the next part, as soon as there is one; with none when the task has ended. */
  async follow(wish: Wish, asker: Asker): Promise<ClientAnswer> {
    const part = await this.#next(wish, asker);
    return { kind: "followed", requestId: wish.requestId, ...(part === undefined ? {} : { part }) };
  }

  /** Lets a reading go. */
  unfollow(followId: string, { clientId }: Pick<Asker, "clientId">): void {
    this.#drop(keyOf(clientId, followId));
  }

  async #next(wish: Wish, asker: Asker): Promise<FollowPart | undefined> {
    const key = keyOf(asker.clientId, wish.followId);
    const known = this.#readings.get(key);
    const isGoingOn = known?.try === wish.try && known.byte === wish.fromByte;
    if (isGoingOn) return await this.#read(key, known);
    this.#drop(key);
    const entry = this.#options.catalog.get(wish.taskId);
    if (entry === undefined) {
      throw new Error(`Cannot follow task ${wish.taskId}: it is not known, or not any more`);
    }
    const { ending } = entry;
    if (ending === undefined) return await this.#read(key, this.#open(key, wish, asker));
    const output = await this.#options.output.read(ending.output);
    if (output === undefined) {
      throw new Error(`Cannot follow task ${wish.taskId}: what it wrote is not kept any more`);
    }
    const seenBytes = wish.try === ending.try ? wish.fromByte : 0;
    return restOf(output, { source: wish.source, try: ending.try, seenBytes });
  }

  #open(key: string, wish: Wish, { clientId, signal }: Asker): Reading {
    const readings = [...this.#readings.values()];
    const ownCount = readings.filter((reading) => reading.clientId === clientId).length;
    if (ownCount >= CLIENT_FOLLOWS_MAX || readings.length >= FOLLOWS_MAX) {
      throw new Error(
        `Cannot follow task ${wish.taskId}: a client follows at most ${CLIENT_FOLLOWS_MAX} at a ` +
          `time, and all of them ${FOLLOWS_MAX}`,
      );
    }
    const { taskId, source } = wish;
    const seen = { try: wish.try, byte: wish.fromByte };
    const follower = new Follower(source, seen);
    follower.tail = this.#options.tails.open(
      { taskId, source, canSkip: true, from: seen },
      follower,
    );
    const reading: Reading = { clientId, follower, ...seen, isAsked: false };
    this.#readings.set(key, reading);
    signal.addEventListener("abort", () => {
      // Of this reading, and no later one of that name.
      if (this.#readings.get(key) === reading) this.#drop(key);
    }, { once: true });
    return reading;
  }

  async #read(key: string, reading: Reading): Promise<FollowPart | undefined> {
    if (reading.isAsked) throw new RangeError("Cannot give one part to two requests at a time");
    reading.isAsked = true;
    const part = await reading.follower.next();
    reading.isAsked = false;
    if (part === undefined) {
      if (this.#readings.get(key) === reading) this.#drop(key);
      return undefined;
    }
    reading.try = part.try;
    reading.byte = part.atByte + part.bytes.length;
    return part;
  }

  #drop(key: string): void {
    this.#readings.get(key)?.follower[Symbol.dispose]();
    this.#readings.delete(key);
  }
}

function keyOf(clientId: string, followId: string): string {
  return `${clientId} ${followId}`;
}
