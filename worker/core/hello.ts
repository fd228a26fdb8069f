/** The first message of a connection: all that the manager cannot know after a break. */

import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import type { PeerAddress } from "./event.ts";
import type { WorkerState } from "./state.ts";

/** Says hello; from here until `reconcile` other messages are held back. */
export function sayHello(state: WorkerState, peer: PeerAddress): void {
  state.link = { kind: "greeting", held: [] };
  state.outbox.push({
    kind: "hello",
    protocol: PROTOCOL_VERSION,
    ...state.identity,
    ...peer,
    ...(state.end === undefined ? {} : { leftMs: Math.max(0, state.end.atMs - state.nowMs) }),
    ...(state.session === undefined ? {} : { session: state.session }),
    tries: Array.from(state.tries.values(), ({ task, state: { kind } }) => ({
      taskId: task.taskId,
      try: task.try,
      phase: kind === "running" ? "running" as const : "staging" as const,
    })),
    results: Array.from(state.results.values(), (result) => ({
      taskId: result.taskId,
      try: result.try,
    })),
    replicas: Array.from(state.cache.values(), ({ facts, level }) => ({ ...facts, level })),
    instances: Array.from(state.instances.values())
      .filter((instance) => instance.state.kind !== "stopping")
      .map((instance) => ({
        instanceId: instance.instanceId,
        library: instance.library.name,
        isReady: instance.state.kind === "ready" || instance.state.kind === "retiring",
      })),
  });
}
