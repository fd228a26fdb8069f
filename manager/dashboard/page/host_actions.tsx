/**
 * Drains, blocks and unblocks hosts, after a question.
 *
 * @module
 */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import type { LiveHost } from "../api.ts";
import { follow, messageOf } from "./answer.ts";
import { act, hosts, session } from "./client.ts";
import { Icon } from "./icon.tsx";
import { useStore } from "./store.ts";

/** What can be done to a host. */
export type HostChange = "drain" | "block" | "unblock";

/** Hosts that get no work. */
export interface HostStates {
  /** `{host: how it stands}`; other hosts get work. */
  readonly byHost: ReadonlyMap<string, LiveHost>;
  /** A running manager tells; else it is not known. */
  readonly isLive: boolean;
  /** Looks again, now. */
  readonly look: () => void;
}

/** `{change: [the button that asks, the question, what happens]}` */
const WORDS: Readonly<Record<HostChange, readonly [string, string, string]>> = {
  drain: [
    "Drain",
    "Drain host",
    "Its workers end what they run and hand on the files that only they have. They get no new work.",
  ],
  block: [
    "Block",
    "Block host",
    "Its workers get no new work until you unblock it. What they run goes on.",
  ],
  unblock: ["Give work again", "Give work to host", "Its workers get work again."],
};

/** Follows which hosts get no work; of a past run there are none. */
export function useHosts(): HostStates {
  const [byHost, setByHost] = useState<ReadonlyMap<string, LiveHost>>(new Map());
  const [turn, setTurn] = useState(0);
  const state = useStore(session);
  const isLive = state.kind === "open" && state.info.isLive;
  useEffect(() => {
    if (!isLive) return;
    return follow(hosts, {
      take: (found) => setByHost(new Map(found.map((host) => [host.host, host]))),
      // The page as a whole says that the manager cannot be reached.
      fail: () => {},
    });
  }, [isLive, turn]);
  return { byHost, isLive, look: () => setTurn((last) => last + 1) };
}

/** How a host stands that gets no work. */
export function HostMark({ state }: { readonly state: LiveHost }): JSX.Element {
  return (
    <span class="mark mark-dispatched" title={state.reason}>
      <Icon name={state.state} />
      {state.state}
    </span>
  );
}

interface ActionsProps {
  readonly host: string;
  readonly states: HostStates;
}

/** Buttons for one host; nothing for those who may only look. */
export function HostActions({ host, states }: ActionsProps): JSX.Element | null {
  const state = useStore(session);
  // With the host as it was when it was asked: rows may change their places meanwhile.
  const [asked, setAsked] = useState<Asked>();
  if (state.kind !== "open" || !state.info.canAct) return null;
  const changes: readonly HostChange[] = states.byHost.has(host) ? ["unblock"] : ["drain", "block"];
  return (
    <span class="actions">
      {changes.map((change) => (
        <button
          key={change}
          type="button"
          class="button small"
          aria-label={`${WORDS[change][0]} host ${host}`}
          onClick={() => setAsked({ host, change })}
        >
          {WORDS[change][0]}
        </button>
      ))}
      {asked && (
        <Confirmation
          {...asked}
          onDone={(isDone) => {
            setAsked(undefined);
            if (isDone) states.look();
          }}
        />
      )}
    </span>
  );
}

/** What a person is asked to confirm. */
interface Asked {
  readonly host: string;
  readonly change: HostChange;
}

interface ConfirmationProps extends Asked {
  readonly onDone: (isDone: boolean) => void;
}

function Confirmation({ host, change, onDone }: ConfirmationProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [button, question, consequence] = WORDS[change];
  useEffect(() => dialog.current?.showModal(), []);
  async function confirm(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    try {
      await act(host, change);
      onDone(true);
    } catch (error) {
      setProblem(messageOf(error));
      setBusy(false);
    }
  }
  return (
    <dialog class="dialog" ref={dialog} onClose={() => onDone(false)} aria-label={question}>
      <h2>{question} {host}?</h2>
      <p>{consequence}</p>
      {problem !== "" && <p class="banner banner-bad" role="alert">{problem}</p>}
      <form method="dialog" onSubmit={confirm}>
        <button type="button" class="button" onClick={() => onDone(false)}>Cancel</button>
        <button
          type="submit"
          class={`button ${change === "unblock" ? "primary" : "danger"}`}
          disabled={isBusy}
        >
          {button}
        </button>
      </form>
    </dialog>
  );
}
