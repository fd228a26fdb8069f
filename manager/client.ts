/** Asks a running manager, found by its access file, from another process. */

import { randomBytes } from "node:crypto";

import { type AccessFile, findAccessFile } from "../shared/access_file.ts";
import { type Channel, dialChannel } from "../shared/channel.ts";
import { connect } from "../shared/runtime/connect.ts";
import { CLIENT_VERSION, type ClientAnswer, type ClientRequest } from "./client_protocol.ts";
import { clientAnswer } from "./client_shapes.ts";
import type { ManagerStatus } from "./status.ts";

/** Time for a manager to answer. */
const ANSWER_MS = 10_000;

/** The status of the manager called `name`, or of the only one that runs when no name is given. */
export async function askStatus(name: string | undefined): Promise<ManagerStatus> {
  const access = await findAccessFile({ name });
  const answer = await ask(access, { kind: "status", requestId: 1 });
  if (answer.kind === "status") return answer.status;
  throw new Error(`Cannot read the answer of manager "${access.name}": it is a ${answer.kind}`);
}

/** Sends one request and returns its answer. */
async function ask(access: AccessFile, request: ClientRequest): Promise<ClientAnswer> {
  const { client: secret } = access.secrets;
  const [url] = access.urls;
  if (secret === undefined || url === undefined) {
    throw new Error(`Cannot ask manager "${access.name}": its access file has no client secret`);
  }
  const { promise, resolve, reject } = Promise.withResolvers<ClientAnswer>();
  const fail = (found: string): void =>
    reject(new Error(`Cannot ask manager "${access.name}" at ${url}: ${found}`));
  const timer = setTimeout(() => fail(`no answer within ${ANSWER_MS} ms`), ANSWER_MS);
  let open: Channel<ClientRequest> | undefined;
  try {
    const handlers = dialChannel<ClientAnswer, ClientRequest>({ role: "client", secret }, {
      check: clientAnswer,
      refused: ({ reason }) => fail(reason === "" ? "the connection broke" : reason),
      handlers: {
        open: (channel) => {
          open = channel;
          const clientId = randomBytes(12).toString("hex");
          channel.send([
            { kind: "open", requestId: 0, version: CLIENT_VERSION, clientId },
            request,
          ]);
        },
        messages: (_channel, answers) => {
          for (const answer of answers) {
            if (answer.kind === "failed") fail(answer.message);
            else if (answer.kind !== "opened") resolve(answer);
          }
        },
        close: (_channel, { reason }) => fail(reason === "" ? "the connection broke" : reason),
      },
    });
    await connect(`${url.replace(/^http/, "ws")}/client`, { handlers });
    return await promise;
  } finally {
    clearTimeout(timer);
    open?.close("Done");
  }
}
