import { DEEP_RESOLVER, type DependencyResolver, SHALLOW_RESOLVER } from "../../mod.ts";
import { testResolver } from "./dependency_resolver.ts";

testResolver({
  name: "DEEP_RESOLVER",
  resolver: DEEP_RESOLVER,
  found: (thing) => [1, { a: [[thing]] }, "text"],
  missed: (thing) => [new Map([["key", thing]])],
});

testResolver({
  name: "SHALLOW_RESOLVER",
  resolver: SHALLOW_RESOLVER,
  found: (thing) => [1, thing, [2]],
  missed: (thing) => [[thing]],
});

/** As a user may write one: it looks into maps among the arguments as well. */
const MAPS: DependencyResolver = {
  map: (value, map) => {
    return DEEP_RESOLVER.map(value, (leaf) => {
      if (!(leaf instanceof Map)) return map(leaf);
      const entries = Array.from(
        leaf,
        ([key, item]) => [key, DEEP_RESOLVER.map(item, map)] as const,
      );
      const isSame = entries.every(([key, item]) => leaf.get(key) === item);
      return isSame ? leaf : new Map(entries);
    });
  },
};

testResolver({
  name: "A resolver of one's own",
  resolver: MAPS,
  found: (thing) => [{ at: new Map([["key", [thing]]]) }],
  missed: (thing) => [new Set([thing])],
});
