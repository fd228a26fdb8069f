/** A class of one's own, and its serializer, as tests of serializers import them. */

import type { Serializer } from "../../manager/dataflow/serializer.ts";

export class Point {
  readonly x: number;
  readonly y: number;

  constructor(x: number, y: number) {
    this.x = x;
    this.y = y;
  }

  get length(): number {
    return Math.hypot(this.x, this.y);
  }
}

export const pointSerializer: Serializer<Point, readonly [number, number]> = {
  name: "Point",
  is: (value) => value instanceof Point,
  encode: ({ x, y }) => [x, y],
  decode: ([x, y]) => new Point(x, y),
  module: { path: import.meta.url, export: "pointSerializer" },
};

/** Called at workers, where it sees the class itself. */
export function turn(point: Point): Point {
  if (!(point instanceof Point)) throw new TypeError("It is no point");
  return new Point(-point.y, point.x);
}
