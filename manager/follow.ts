/** What a running task writes, for one reader of this process. */

import type { TaskId } from "../shared/ids.ts";
import type { GrowingSource } from "../shared/protocol.ts";
import { Follower, type FollowPart } from "./follower.ts";
import type { TailDesk } from "./tail_desk.ts";

/** The parts of what a task that has not ended writes, until it has. */
export async function* follow(
  tails: Pick<TailDesk, "open">,
  { taskId, source }: { readonly taskId: TaskId; readonly source: GrowingSource },
): AsyncGenerator<FollowPart, void> {
  using follower = new Follower(source, { try: 0, byte: 0 });
  follower.tail = tails.open({ taskId, source, canSkip: true }, follower);
  for (let part = await follower.next(); part; part = await follower.next()) yield part;
}
