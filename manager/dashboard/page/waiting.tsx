/**
 * Why a task waits, in the manager's own words; of a running manager only.
 *
 * @module
 */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { follow, messageOf } from "./answer.ts";
import { explain, session } from "./client.ts";
import { useStore } from "./store.ts";

/** Why a task waits. */
export function Waiting({ taskId }: { readonly taskId: number }): JSX.Element | null {
  const state = useStore(session);
  const isLive = state.kind === "open" && state.info.isLive;
  const [text, setText] = useState("");
  useEffect(() => {
    if (!isLive) return;
    return follow(() => explain(taskId), {
      take: setText,
      fail: (error) => setText(messageOf(error)),
    });
  }, [taskId, isLive]);
  if (!isLive || text === "") return null;
  return (
    <section class="card explain" aria-label="Why it waits">
      <h2>Where it stands</h2>
      <pre class="wrap">{text}</pre>
    </section>
  );
}
