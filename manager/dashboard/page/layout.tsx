/**
 * What stands around every page: where one is, how the run is followed, and what is wrong.
 *
 * @module
 */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { session } from "./client.ts";
import { count, instant, remaining } from "./format.ts";
import { Icon, type IconName } from "./icon.tsx";
import { PAGES } from "./keys.ts";
import { live } from "./live.ts";
import { hrefOf } from "./route.ts";
import { nowOf, useRun } from "./run.ts";
import { useStore } from "./store.ts";
import { colours, isDark, switchTheme } from "./theme.ts";

/** What `Layout` stands around. */
export interface LayoutProps {
  /** First part of the address. */
  readonly page: string;
  readonly onHelp: () => void;
  readonly children: ComponentChildren;
}

/** Head, navigation and banners around a page. */
export function Layout({ page, onHelp, children }: LayoutProps): JSX.Element {
  const info = useRun();
  const hasCalls = page === "calls" || (info?.apps.length ?? 0) > 0;
  useStore(colours);
  useEffect(() => {
    const title = PAGES.find(([name]) => name === page)?.[1] ?? "Tendril";
    document.title = `${title} · ${info?.name ?? "Tendril"}`;
    // On a phone there is no room for all tabs.
    document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest" });
  }, [page, info?.name]);
  return (
    <>
      <a class="skip" href="#content" onClick={skipToContent}>Skip to the content</a>
      <header class="head">
        <a class="brand" href={hrefOf("")} aria-label="Tendril: overview">
          <Icon name="vine" />
          <span class="brand-name">{info?.name ?? "Tendril"}</span>
        </a>
        <nav class="tabs" aria-label="Pages">
          {PAGES.filter(([name]) => name !== "calls" || hasCalls).map(([name, title]) => (
            <a key={name} href={hrefOf(name)} aria-current={name === page ? "page" : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <div class="head-end">
          <LivePill />
          <button
            type="button"
            class="button icon-button"
            onClick={switchTheme}
            aria-label={isDark() ? "Light colours" : "Dark colours"}
            title={isDark() ? "Light colours" : "Dark colours"}
          >
            <Icon name={isDark() ? "sun" : "moon"} />
          </button>
          <button
            type="button"
            class="button icon-button keys-button"
            onClick={onHelp}
            aria-label="Keys"
            title="Keys"
          >
            ?
          </button>
        </div>
      </header>
      <Banners />
      <main id="content" tabIndex={-1}>{children}</main>
    </>
  );
}

/** The fragment is the page: the link may not change it. */
function skipToContent(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

/** How the run is followed, in a word. */
function LivePill(): JSX.Element {
  const { status, update } = useStore(live);
  const info = useRun();
  const words = {
    connecting: "connecting",
    live: "live",
    polling: "asking",
    lost: "not reached",
    record: info?.endedAtMs ? "ended" : "record",
  }[status];
  const left = update?.leftMs ? ` · ${remaining(update.leftMs)} left` : "";
  return (
    <span class={`pill pill-${status}`} role="status" title={titleOf(status)}>
      <i class="dot" aria-hidden="true" />
      {words}
      <span class="wide-only">{left}</span>
    </span>
  );
}

function titleOf(status: string): string {
  if (status === "live") return "Updates come as they happen";
  if (status === "polling") return "No WebSocket can be opened: the page asks every few seconds";
  if (status === "lost") return "The manager does not answer";
  return "";
}

/** What a person must know before believing what is shown. */
function Banners(): JSX.Element {
  const { status, recordedAtMs } = useStore(live);
  const info = useRun();
  const state = useStore(session);
  const isRecord = state.kind === "open" && !state.info.isLive;
  return (
    <div class="banners">
      {status === "lost" && (
        <p class="banner banner-bad" role="alert">
          <Icon name="warning" />
          <span>
            The manager does not answer. What you see is as of{" "}
            {instant(info?.recordedAtMs ?? recordedAtMs)}; the page goes on when it is back.
          </span>
        </p>
      )}
      {isRecord && info && (
        <p class="banner">
          <span>
            <b>A record</b> of the run of {instant(info.startedAtMs)} on {info.host}, until{" "}
            {instant(nowOf(info))}
            {info.endedAtMs === null &&
              ": it did not end as it should, its last second may be missing"}
            .
          </span>
        </p>
      )}
    </div>
  );
}

/** A dialog that lists the keys. */
export function KeysDialog(
  { isOpen, onClose }: { readonly isOpen: boolean; readonly onClose: () => void },
): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen && !dialog.current?.open) dialog.current?.showModal();
    if (!isOpen) dialog.current?.close();
  }, [isOpen]);
  return (
    <dialog class="dialog" ref={dialog} onClose={onClose} aria-labelledby="keys-title">
      <h2 id="keys-title">Keys</h2>
      <dl class="keys">
        {PAGES.map(([name, title, letter]) => (
          <div key={name}>
            <dt>
              <kbd>g</kbd> <kbd>{letter}</kbd>
            </dt>
            <dd>{title}</dd>
          </div>
        ))}
        {OTHER_KEYS.map(([keys, does]) => (
          <div key={does}>
            <dt>{keys.map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit" class="button primary">Close</button>
      </form>
    </dialog>
  );
}

/** `[keys, what they do]`, besides those that lead to pages. */
const OTHER_KEYS: readonly (readonly [readonly string[], string])[] = [
  [["/"], "Search"],
  [["↑", "↓"], "Walk through a table"],
  [["Enter"], "Open the row"],
  [["←", "→", "+", "−"], "Move and zoom in drawings"],
  [["\\"], "Light or dark"],
  [["?"], "This list"],
];

/** The title of a page, with what stands beside it. */
export function PageHead(
  { title, children }: { readonly title: ComponentChildren; readonly children?: ComponentChildren },
): JSX.Element {
  return (
    <div class="page-head">
      <h1>{title}</h1>
      {children}
    </div>
  );
}

/** Names and what they stand for. */
export function Facts(
  { rows }: { readonly rows: readonly (readonly [string, ComponentChildren])[] },
): JSX.Element {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Said of what a page to send around had no room for. */
export function Partial(): JSX.Element {
  return (
    <p class="banner">
      <Icon name="warning" />{" "}
      <span>
        This page had no room for all of it: the run's database has more, open it with{" "}
        <code>tendril report</code>.
      </span>
    </p>
  );
}

/** What stands where a part of a page cannot be shown. */
export function Problem({ text }: { readonly text: string }): JSX.Element {
  return (
    <p class="banner banner-bad" role="alert">
      <Icon name="warning" /> <span>{text}</span>
    </p>
  );
}

/** A number that matters, with its word. */
export function Tile(
  props: {
    readonly label: string;
    readonly value: ComponentChildren;
    readonly note?: ComponentChildren;
    readonly href?: string;
    readonly icon?: IconName;
  },
): JSX.Element {
  const value = typeof props.value === "number" ? count(props.value) : props.value;
  const content = (
    <>
      <span class={`mark ${props.icon ? `mark-${props.icon}` : ""}`}>
        {props.icon && <Icon name={props.icon} />}
        {props.label}
      </span>
      <span class="tile-value">{value}</span>
      <span class="tile-note">{props.note}</span>
    </>
  );
  return props.href === undefined
    ? <div class="tile">{content}</div>
    : <a class="tile" href={props.href}>{content}</a>;
}
