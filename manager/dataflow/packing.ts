/** Calls of a flow with serializers: what they are given and give, as values that can travel. */

import type { AnyFunction } from "../../shared/function_source.ts";
import { isAwaitable } from "./dependency.ts";
import { AppFuture, DataFuture } from "./future.ts";
import { mapLeaves } from "./leaves.ts";
import type { Recipe } from "./recipe.ts";
import { type AnySerializer, pack, packedBody, unpack } from "./serializer.ts";

/** Packs what goes to executors, and unpacks what comes back. */
export class Packing {
  readonly #serializers: readonly AnySerializer[];
  readonly #recipes: WeakMap<Recipe, Recipe> = new WeakMap();

  constructor(serializers: readonly AnySerializer[]) {
    this.#serializers = serializers;
  }

  /** Arguments; those that promises will give as well. */
  pack(args: readonly unknown[]): readonly unknown[] {
    const awaited = mapLeaves(args, (leaf) => {
      const isOwn = leaf instanceof AppFuture || leaf instanceof DataFuture;
      if (isOwn || !isAwaitable(leaf)) return leaf;
      return Promise.resolve(leaf).then((value) => this.#pack(value));
    });
    return this.#pack(awaited) as readonly unknown[];
  }

  /** A value that was awaited. */
  unpack(value: unknown): unknown {
    return unpack(value, this.#serializers);
  }

  /** The same app, of packed values: its code elsewhere, and its function here. */
  recipe(recipe: Recipe): Recipe {
    const known = this.#recipes.get(recipe);
    if (known !== undefined) return known;
    const { target, fn, kind } = recipe;
    const packed: Recipe = {
      ...recipe,
      target: target?.body.kind === "javascript"
        ? { ...target, body: packedBody(target.body, this.#serializers) }
        : target,
      fn: fn && this.#wrap(fn, { isPacked: kind === "join" }),
    };
    this.#recipes.set(recipe, packed);
    return packed;
  }

  #pack(value: unknown): unknown {
    return pack(value, this.#serializers);
  }

  /** What a command is, is text; what a join returns may hold anything. */
  #wrap(fn: AnyFunction, { isPacked }: { readonly isPacked: boolean }): AnyFunction {
    return async (...args: never[]) => {
      const returned = await fn(...this.unpack(args) as never[]);
      return isPacked ? this.pack([returned])[0] : returned;
    };
  }
}
