/** A client that speaks the protocol over a real socket and asks what a test tells it. */

import { randomBytes } from "node:crypto";

import {
  CLIENT_VERSION,
  type ClientAnswer,
  type ClientRequest,
  type ClientTask,
} from "../../manager/client_protocol.ts";
import { clientAnswer } from "../../manager/client_shapes.ts";
import { type AccessFile, accessPath, readAccessFile } from "../../shared/access_file.ts";
import { type Channel, type ChannelEnd, dialChannel } from "../../shared/channel.ts";
import type { Role } from "../../shared/handshake.ts";
import { connect } from "../../shared/runtime/connect.ts";

/** What a test may say of the client. */
export interface FakeClientOptions {
  readonly role?: Role;
  /** Default: the role's, of the access file. */
  readonly secret?: string;
  readonly clientId?: string;
  /** Default `CLIENT_VERSION`. */
  readonly version?: number;
  /** Does not say `open` by itself. */
  readonly isSilent?: boolean;
}

type Unnumbered<R> = R extends unknown ? Omit<R, "requestId"> : never;
type Wish = Unnumbered<ClientRequest>;
type OfKind<K extends ClientAnswer["kind"]> = Extract<ClientAnswer, { kind: K }>;

/** One connection of a client. */
export class FakeClient {
  readonly access: AccessFile;
  readonly clientId: string;
  /** How the connection ended. */
  readonly ended: Promise<ChannelEnd>;
  /** All `progress` that came. */
  readonly progress: OfKind<"progress">[] = [];
  #channel: Channel<ClientRequest> | undefined;
  readonly #asked: Map<number, (answer: ClientAnswer) => void> = new Map();
  #lastId = 0;

  private constructor(access: AccessFile, clientId: string, ended: Promise<ChannelEnd>) {
    this.access = access;
    this.clientId = clientId;
    this.ended = ended;
  }

  /** Dials the manager of that name; resolves when it answered `open`. */
  static async join(name: string, options: FakeClientOptions = {}): Promise<FakeClient> {
    const { role = "client", clientId = randomBytes(12).toString("hex") } = options;
    const access = await readAccessFile(accessPath(name));
    const end = Promise.withResolvers<ChannelEnd>();
    const opened = Promise.withResolvers<void>();
    const client = new FakeClient(access, clientId, end.promise);
    const refused = (how: ChannelEnd) => {
      end.resolve(how);
      opened.resolve();
    };
    const handlers = dialChannel<ClientAnswer, ClientRequest>(
      { role, secret: options.secret ?? access.secrets[role] ?? "" },
      {
        check: clientAnswer,
        refused,
        handlers: {
          open: (channel) => {
            client.#channel = channel;
            opened.resolve();
          },
          messages: (_channel, answers) => answers.forEach((answer) => client.#hear(answer)),
          close: (_channel, how) => end.resolve(how),
        },
      },
    );
    await connect(`${access.urls[0]?.replace("http", "ws")}/client`, { handlers });
    await opened.promise;
    const { version = CLIENT_VERSION } = options;
    if (!options.isSilent) await client.ask({ kind: "open", version, clientId });
    return client;
  }

  /** The answer to a request. */
  ask(wish: Wish): Promise<ClientAnswer> {
    this.#lastId += 1;
    const requestId = this.#lastId;
    const { promise, resolve } = Promise.withResolvers<ClientAnswer>();
    this.#asked.set(requestId, resolve);
    this.#channel?.send([{ ...wish, requestId } as ClientRequest]);
    return promise;
  }

  /** The answer to a request, which must be of that kind. */
  async expect<K extends ClientAnswer["kind"]>(kind: K, wish: Wish): Promise<OfKind<K>> {
    const answer = await this.ask(wish);
    if (answer.kind === kind) return answer as OfKind<K>;
    throw new Error(`Expected ${kind}, got ${JSON.stringify(answer)}`);
  }

  /** Sends requests in one frame, whose answers nobody takes. */
  sendMany(wishes: readonly Wish[]): void {
    this.#channel?.send(wishes.map((wish) => ({ ...wish, requestId: 0 }) as ClientRequest));
  }

  /** Sends what may be no request at all. */
  sendRaw(message: { readonly kind: string }): void {
    this.#channel?.send([message as ClientRequest]);
  }

  /** Submits one command, or one per member, and gives the first number. */
  async submit(
    task: Partial<ClientTask> & { readonly command: string },
    members: readonly { readonly [name: string]: string }[] = [{}],
  ): Promise<number> {
    const { firstId } = await this.expect("submitted", {
      kind: "submit",
      submissionId: randomBytes(12).toString("hex"),
      part: 0,
      task: taskOf(task),
      members: members.map((env) => ({ env, outputs: [] })),
    });
    return firstId;
  }

  /** Hangs up. */
  close(): void {
    this.#channel?.close("The test is over");
  }

  #hear(answer: ClientAnswer): void {
    if (answer.kind === "progress") return void this.progress.push(answer);
    this.#asked.get(answer.requestId)?.(answer);
    this.#asked.delete(answer.requestId);
  }
}

/** A task with the usual fields filled in. */
export function taskOf(task: Partial<ClientTask> & { readonly command: string }): ClientTask {
  return { inputs: [], outputs: [], environments: [], env: {}, ...task };
}
