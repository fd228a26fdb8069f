/**
 * Search and choices above a table: what they are set to stands in the address.
 *
 * @module
 */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { Icon } from "./icon.tsx";
import { changeParams } from "./route.ts";

/** After a letter of a search, so long nothing is asked for: another may follow. */
const TYPING_MS = 150;

/** What is typed goes into the address when the fingers rest. */
export function SearchField(
  { page, params, placeholder }: {
    readonly page: string;
    readonly params: URLSearchParams;
    readonly placeholder: string;
  },
): JSX.Element {
  const inAddress = params.get("q") ?? "";
  const [text, setText] = useState(inAddress);
  const latest = useRef(params);
  latest.current = params;
  const sent = useRef(inAddress);
  // The address changed by another way than this field, as by a link.
  useEffect(() => {
    if (inAddress === sent.current) return;
    sent.current = inAddress;
    setText(inAddress);
  }, [inAddress]);
  useEffect(() => {
    if (text === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = text;
      changeParams(page, latest.current, { q: text });
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <label class="search">
      <span class="hidden">Search</span>
      <Icon name="search" />
      <input
        type="search"
        placeholder={placeholder}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
    </label>
  );
}

/** What a choice shows. */
export interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, words: string])[];
  readonly onChange: (value: string) => void;
}

/** A choice among a few values, or any. */
export function Choice({ label, value, options, onChange }: ChoiceProps): JSX.Element {
  // An address may hold several values: they are one more choice.
  const isKnown = value === "" || options.some(([option]) => option === value);
  return (
    <label class={`choice ${value === "" ? "" : "is-set"}`}>
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">any</option>
        {!isKnown && <option value={value}>{value.replaceAll(",", ", ")}</option>}
        {options.map(([option, words]) => <option key={option} value={option}>{words}</option>)}
      </select>
    </label>
  );
}
