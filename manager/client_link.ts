/** Connections of command lines and other clients: requests with ids, and their answers. */

import { acceptChannel, type Channel } from "../shared/channel.ts";
import { type Check, kinds, natural } from "../shared/message_check.ts";
import type { SocketHandlers } from "../shared/runtime/socket.ts";
import type { Door } from "./door.ts";
import type { ManagerStatus } from "./status.ts";

/** Clients at the same time. */
const CLIENTS_MAX = 1000;

/** What a client may ask; answered by the message of the same `requestId`. */
export type ClientRequest =
  | { readonly kind: "ping"; readonly requestId: number }
  | { readonly kind: "status"; readonly requestId: number };

/** What a client is answered. */
export type ClientAnswer =
  | { readonly kind: "pong"; readonly requestId: number }
  | { readonly kind: "status"; readonly requestId: number; readonly status: ManagerStatus };

/** What a client can be told. */
export interface ClientLinksOptions {
  readonly clientSecret: string;
  readonly status: () => ManagerStatus;
  readonly door: Door;
}

const clientRequest: Check<ClientRequest> = kinds<ClientRequest>({
  ping: { requestId: natural },
  status: { requestId: natural },
});

/** All connections of clients to one manager. */
export class ClientLinks {
  readonly #options: ClientLinksOptions;
  readonly #channels: Set<Channel<ClientAnswer>> = new Set();

  constructor(options: ClientLinksOptions) {
    this.#options = options;
  }

  /** The manager's end of a new connection. */
  accept(): SocketHandlers {
    return acceptChannel<ClientRequest, ClientAnswer>(
      { client: this.#options.clientSecret },
      {
        check: clientRequest,
        door: this.#options.door,
        handlers: {
          open: (channel) => {
            if (this.#channels.size < CLIENTS_MAX) this.#channels.add(channel);
            else channel.close(`The manager takes ${CLIENTS_MAX} clients at most`);
          },
          messages: (channel, requests) => {
            // A client that does not read its answers gets no more of them.
            if (!channel.isWritable) channel.close("The client does not read its answers");
            else channel.send(requests.map((request) => this.#answer(request)));
          },
          close: (channel) => void this.#channels.delete(channel),
        },
      },
    );
  }

  /** Closes all connections. */
  close(): void {
    for (const channel of this.#channels) channel.close("The manager is closing");
    this.#channels.clear();
  }

  #answer({ kind, requestId }: ClientRequest): ClientAnswer {
    return kind === "ping"
      ? { kind: "pong", requestId }
      : { kind, requestId, status: this.#options.status() };
  }
}
