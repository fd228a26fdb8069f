/** What a task of a manager elsewhere writes, part by part: each is asked for when it is wanted. */

import { randomBytes } from "node:crypto";

import type { TaskId } from "../shared/ids.ts";
import type { GrowingSource } from "../shared/protocol.ts";
import type { ClientConnection } from "./client.ts";
import type { FollowPart } from "./follower.ts";

/** The parts of what a task writes, until it has ended; of one that has, what is kept. */
export async function* followRemote(
  connection: Pick<ClientConnection, "ask">,
  { taskId, source }: { readonly taskId: TaskId; readonly source: GrowingSource },
): AsyncGenerator<FollowPart, void> {
  const followId = randomBytes(12).toString("hex");
  let seen = { try: 0, fromByte: 0 };
  let hasEnded = false;
  try {
    while (true) {
      const { part } = await connection.ask({ kind: "follow", followId, taskId, source, ...seen });
      hasEnded = part === undefined;
      if (part === undefined) return;
      yield part;
      seen = { try: part.try, fromByte: part.atByte + part.bytes.length };
    }
  } finally {
    if (!hasEnded) {
      connection.ask({ kind: "unfollow", followId }).catch(() => {
        // The connection is gone, and the reading with it.
      });
    }
  }
}
