/**
 * What a task wrote: so far, while it runs; else the ends that are in the records.
 *
 * @module
 */

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import type { LiveOutput, TaskDetail } from "../api.ts";
import { messageOf } from "./answer.ts";
import { output, session } from "./client.ts";
import { useStore } from "./store.ts";

/** While a task runs, what it wrote is asked for so often: the records do not tell when it writes. */
const LOOK_MS = 1_500;

/** A text that is scrolled to within so many pixels of its end stays at its end. */
const END_PX = 24;

/** Standard output and standard error of a task. */
export function Output({ task }: { readonly task: TaskDetail }): JSX.Element {
  const state = useStore(session);
  const isLive = state.kind === "open" && state.info.isLive;
  const { found, problem } = useOutput(task, isLive);
  const stdout = found?.stdout ?? task.stdoutTail;
  const stderr = found?.stderr ?? task.stderrTail;
  return (
    <section class="card span-2">
      <h2>
        Output {found?.isRunning && <span class="soft">as it is written</span>}
      </h2>
      {problem !== "" && <p class="soft">{problem}</p>}
      {task.kind === "call" && stdout === null && stderr === null
        ? <p class="soft">What functions write is kept with their library.</p>
        : (
          <div class="streams">
            <Stream name="stdout" text={stdout} isLive={isLive} />
            <Stream name="stderr" text={stderr} isLive={isLive} />
          </div>
        )}
    </section>
  );
}

/** Asks for what a task wrote: once, or from time to time while it runs. */
function useOutput(
  { taskId, state }: TaskDetail,
  isLive: boolean,
): { readonly found: LiveOutput | undefined; readonly problem: string } {
  const [found, setFound] = useState<LiveOutput>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (!isLive) return;
    let isEnded = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    async function look(): Promise<void> {
      let isMore = state === "running";
      try {
        const latest = document.hidden ? undefined : await output(taskId);
        if (isEnded) return;
        if (latest) setFound(latest);
        isMore = latest?.isRunning ?? isMore;
        setProblem("");
      } catch (error) {
        if (isEnded) return;
        setProblem(messageOf(error));
      }
      if (isMore) timer = setTimeout(() => void look(), LOOK_MS);
    }
    void look();
    return () => {
      isEnded = true;
      clearTimeout(timer);
    };
  }, [taskId, state, isLive]);
  return { found, problem };
}

interface StreamProps {
  readonly name: string;
  readonly text: string | null;
  readonly isLive: boolean;
}

/** One stream; one that grows is followed as long as its end is in sight. */
function Stream({ name, text, isLive }: StreamProps): JSX.Element {
  const box = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    if (box.current !== null && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  function look(): void {
    if (box.current === null) return;
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < END_PX;
  }
  return (
    <div class="stream">
      <h3 id={`stream-${name}`}>{name}</h3>
      {text === null || text === ""
        ? (
          <p class="soft">
            {text === "" ? "empty" : isLive ? "not kept" : "not in the records"}
          </p>
        )
        : (
          <pre
            class="output"
            ref={box}
            onScroll={look}
            tabIndex={0}
            aria-labelledby={`stream-${name}`}
          >
            {text}
          </pre>
        )}
    </div>
  );
}
