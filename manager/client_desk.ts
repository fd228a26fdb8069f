/** Answers what clients ask, each request by its noun. */

import type { Asker, ClientDesk, ClientWish } from "./client_link.ts";
import type { ClientAnswer } from "./client_protocol.ts";
import type { ManagerStatus } from "./status.ts";

/** What a desk is made of. */
export interface RequestDeskOptions {
  readonly status: () => ManagerStatus;
}

/** The requests of all clients of one manager. */
export class RequestDesk implements ClientDesk {
  readonly #options: RequestDeskOptions;

  constructor(options: RequestDeskOptions) {
    this.#options = options;
  }

  answer(wish: ClientWish, _asker: Asker): ClientAnswer | Promise<ClientAnswer> {
    const { requestId } = wish;
    switch (wish.kind) {
      case "ping":
        return { kind: "pong", requestId };
      case "status":
        return { kind: "status", requestId, status: this.#options.status() };
      default:
        throw new Error(`Cannot answer request "${wish.kind}" yet`);
    }
  }

  joined(_clientId: string): void {}

  left(_clientId: string): void {}
}
