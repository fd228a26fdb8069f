/**
 * A value that pages follow.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";

/** A value, and who wants to know when another takes its place. */
export interface Store<Value> {
  get(): Value;
  set(value: Value): void;
  /** Returns what ends it. */
  subscribe(listener: () => void): () => void;
}

/** Makes a store that holds `initial`. */
export function makeStore<Value>(initial: Value): Store<Value> {
  const listeners = new Set<() => void>();
  let current = initial;
  return {
    get: () => current,
    set: (value) => {
      if (Object.is(value, current)) return;
      current = value;
      for (const listener of [...listeners]) listener();
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Returns the value of a store, and draws the component again when it changes. */
export function useStore<Value>(store: Store<Value>): Value {
  const [, draw] = useState(0);
  useEffect(() => store.subscribe(() => draw((times) => times + 1)), [store]);
  return store.get();
}
