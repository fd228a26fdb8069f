/**
 * The dashboard in the browser: opens the session, follows the run and shows the page that the
 * address means.
 *
 * @module
 */

import { type JSX, render } from "preact";
import { useEffect, useState } from "preact/hooks";

import { REPORT_ELEMENT_ID } from "../report_data.ts";
import { answerFrom, ask, openSession, session } from "./client.ts";
import { follow } from "./answer.ts";
import { Call } from "./call.tsx";
import { Calls } from "./calls.tsx";
import { Data } from "./data.tsx";
import { File } from "./file.tsx";
import { GraphPage } from "./graph.tsx";
import { listenToKeys } from "./keys.ts";
import { KeysDialog, Layout, Problem } from "./layout.tsx";
import { live, LiveLink } from "./live.ts";
import { Login } from "./login.tsx";
import { Overview } from "./overview.tsx";
import { readRoute, type Route } from "./route.ts";
import { run } from "./run.ts";
import { useStore } from "./store.ts";
import { Task } from "./task.tsx";
import { Tasks } from "./tasks.tsx";
import { openTheme, switchTheme } from "./theme.ts";
import { Timeline } from "./timeline.tsx";
import { VinePage } from "./vine.tsx";
import { Worker } from "./worker.tsx";
import { Workers } from "./workers.tsx";

/** Wait before the session is opened again, when the manager could not be reached. */
const REOPEN_MS = 3_000;

openTheme();
const root = document.getElementById("page");
if (root !== null) {
  root.textContent = "";
  render(<App />, root);
}

function App(): JSX.Element {
  const state = useStore(session);
  const [problem, setProblem] = useState("");
  const [isHelpOpen, setHelpOpen] = useState(false);
  const route = useRoute();
  useEffect(() => keepOpening(setProblem), []);
  useEffect(
    () => listenToKeys({ help: () => setHelpOpen((isOpen) => !isOpen), theme: switchTheme }),
    [],
  );
  useEffect(() => state.kind === "open" ? followRun(state.info.isLive) : undefined, [state]);
  if (state.kind === "locked") return <Login message={state.message} />;
  if (state.kind === "opening") {
    return <main class="login">{problem === "" ? <p>…</p> : <Problem text={problem} />}</main>;
  }
  return (
    <>
      <Layout page={route.page} onHelp={() => setHelpOpen(true)}>
        <Page key={`${route.page}/${route.id ?? ""}`} route={route} />
      </Layout>
      <KeysDialog isOpen={isHelpOpen} onClose={() => setHelpOpen(false)} />
    </>
  );
}

/** Opens the session, and tries again while nobody answers; returns what ends it. */
function keepOpening(tell: (problem: string) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const packed = document.getElementById(REPORT_ELEMENT_ID)?.textContent;
  function open(): void {
    const opening = packed ? answerFrom(packed) : openSession();
    opening.then(() => tell(""), (error: unknown) => {
      tell(error instanceof Error ? error.message : String(error));
      if (!packed) timer = setTimeout(open, REOPEN_MS);
    });
  }
  open();
  return () => clearTimeout(timer);
}

/** Keeps `run` and `live` up to date; returns what ends it. */
function followRun(isLive: boolean): () => void {
  const link = isLive ? new LiveLink() : undefined;
  if (!isLive) live.set({ status: "record", recordedAtMs: 0, update: undefined });
  const unfollow = follow(() => ask({ kind: "run" }), {
    take: (info) => run.set(info),
    fail: () => {},
  });
  return () => {
    unfollow();
    link?.close();
  };
}

/** Read anew each time: the session takes a token out of the address without telling. */
function useRoute(): Route {
  const [, draw] = useState(0);
  useEffect(() => {
    const onChange = (): void => draw((times) => times + 1);
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return readRoute(location.hash);
}

function Page({ route }: { readonly route: Route }): JSX.Element {
  const { page, id, params } = route;
  switch (page) {
    case "":
      return <Overview />;
    case "calls":
      return id === undefined ? <Calls params={params} /> : <Call id={Number(id)} />;
    case "tasks":
      return id === undefined ? <Tasks params={params} /> : <Task id={Number(id)} />;
    case "timeline":
      return <Timeline params={params} />;
    case "workers":
      return id === undefined ? <Workers params={params} /> : <Worker id={id} />;
    case "data":
      return id === undefined ? <Data params={params} /> : <File id={Number(id)} />;
    case "vine":
      return <VinePage params={params} />;
    case "graph":
      return <GraphPage params={params} />;
    default:
      return <Problem text={`There is no page "${page}"`} />;
  }
}
