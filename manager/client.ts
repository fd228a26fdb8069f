/** Asks a running manager, found by its access file, from another process. */

import { type AccessFile, findAccessFile } from "../shared/access_file.ts";
import { type Channel, dialChannel } from "../shared/channel.ts";
import { type Check, kinds, natural } from "../shared/message_check.ts";
import { connect } from "../shared/runtime/connect.ts";
import type { ClientAnswer, ClientRequest } from "./client_link.ts";
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
          channel.send([request]);
        },
        messages: (_channel, [answer]) => {
          if (answer !== undefined) resolve(answer);
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

/** A field may be added; the version tells when one means something else. */
const statusShape: Check<ManagerStatus> = (value) => {
  const isStatus = typeof value === "object" && value !== null && "version" in value;
  return isStatus && value.version === 1 ? undefined : " is not a status of version 1";
};

const clientAnswer: Check<ClientAnswer> = kinds<ClientAnswer>({
  pong: { requestId: natural },
  status: { requestId: natural, status: statusShape },
});
