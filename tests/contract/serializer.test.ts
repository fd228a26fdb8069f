import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { app, errorSerializer, inProcess, load, localProcesses, urlSerializer } from "../../mod.ts";
import { managed, Manager } from "../../mod.ts";
import { Point, pointSerializer, type turn } from "./point.ts";
import { type SerializerCase, testSerializer } from "./serializer.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "tendril-serializer-"));

afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

const POINT: SerializerCase<Point> = {
  serializer: pointSerializer,
  make: () => new Point(3, 4),
  seen: ({ x, y, length }) => [x, y, length],
};

const here = () => [inProcess(), localProcesses({ count: 1 })];

testSerializer(POINT, here);
testSerializer({
  serializer: errorSerializer,
  make: () => new RangeError("too far"),
  seen: ({ name, message }) => [name, message],
}, here);
testSerializer({
  serializer: urlSerializer,
  make: () => new URL("https://data.example.org/a?b"),
  seen: ({ href }) => href,
}, here);

test(
  "A serializer's module and that of an app have the same class, on every executor",
  async () => {
    await using manager = await Manager.start({
      runDirectory: join(FOLDER, "run"),
      workers: { cores: 1 },
    });
    await using _flow = await load({
      executors: [managed(manager, "cluster"), localProcesses({ count: 1 }), inProcess()],
      serializers: [pointSerializer],
    });
    const module = new URL("./point.ts", import.meta.url);
    const turned = app<typeof turn>(module, "turn");
    for (const executor of ["cluster", "local", "in-process"]) {
      const on = turned.with({ executor });
      expect(await on(on(new Point(1, 2)))).toEqual(new Point(-1, -2));
    }
  },
  60_000,
);

test("load() refuses serializers that are none, and objects without one", async () => {
  const wrong = load({ executors: [inProcess()], serializers: [{ name: "x" } as never] });
  await expect(wrong).rejects.toThrow("expected { name, is, encode, decode }");
  const twice = load({ executors: [inProcess()], serializers: [urlSerializer, urlSerializer] });
  await expect(twice).rejects.toThrow('Cannot take serializer "URL"');
  await using _flow = await load({ executors: [inProcess()], serializers: [urlSerializer] });
  const same = app((value: unknown) => value);
  expect(() => same({ at: [new Point(1, 2)] })).toThrow("arguments[0].at[0]");
  const unknown = Promise.resolve(same({ "tendril:class": "Point", value: 1 }));
  await expect(unknown).rejects.toThrow("has no serializer");
});
