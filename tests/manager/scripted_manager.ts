/** A manager that answers clients as a test says, over real sockets. */

import { hostname } from "node:os";
import process from "node:process";

import { Hono } from "hono";

import type { ClientAnswer, ClientRequest } from "../../manager/client_protocol.ts";
import { clientRequest } from "../../manager/client_shapes.ts";
import type { AccessFile } from "../../shared/access_file.ts";
import type { KeyPair } from "../../shared/certificate.ts";
import { acceptChannel, type Channel } from "../../shared/channel.ts";
import { newSecret } from "../../shared/handshake.ts";
import { serve, type Server, upgradeSocket } from "../../shared/runtime/serve.ts";

/** What a test says. */
export interface Script {
  /** The answers to a request, `open` apart; a test may answer later. */
  readonly answer: (
    request: ClientRequest,
    tell: (answers: readonly ClientAnswer[]) => void,
  ) => void;
  readonly tls?: KeyPair;
}

/** The manager's side. */
export class ScriptedManager implements AsyncDisposable {
  /** What came, in order, each connection's `open` among it. */
  readonly heard: ClientRequest[] = [];
  /** How many requests came in each frame. */
  readonly frames: number[] = [];
  readonly access: AccessFile;
  readonly #server: Server;
  readonly #script: Script;
  readonly #channels: Set<Channel<ClientAnswer>> = new Set();

  constructor(script: Script) {
    this.#script = script;
    const secret = newSecret();
    const app = new Hono();
    app.get(
      "/client",
      upgradeSocket(() =>
        acceptChannel<ClientRequest, ClientAnswer>({ client: secret }, {
          check: clientRequest,
          handlers: {
            open: (channel) => this.#channels.add(channel),
            messages: (channel, requests) => this.#hear(channel, requests),
            close: (channel) => this.#channels.delete(channel),
          },
        })
      ),
    );
    this.#server = serve(app, { tls: script.tls });
    this.access = {
      version: 1,
      name: "oak",
      managerId: "scripted",
      urls: [`${script.tls === undefined ? "http" : "https"}://127.0.0.1:${this.#server.port}`],
      ...(script.tls === undefined ? {} : { certificate: script.tls.certificate }),
      secrets: { client: secret },
      pid: process.pid,
      host: hostname(),
      startedAtMs: 0,
    };
  }

  /** Breaks every connection. */
  hangUp(): void {
    for (const channel of this.#channels) channel.close("");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close();
  }

  #hear(channel: Channel<ClientAnswer>, requests: readonly ClientRequest[]): void {
    this.frames.push(requests.length);
    for (const request of requests) {
      this.heard.push(request);
      if (request.kind === "open") {
        channel.send([{ kind: "opened", requestId: request.requestId, host: "elsewhere" }]);
      } else {
        this.#script.answer(request, (answers) => channel.send(answers));
      }
    }
  }
}
