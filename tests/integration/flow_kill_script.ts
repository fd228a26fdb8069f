/**
 * A script that is killed at any moment and started again: `FOLDER`. Its calls, of three kinds, each
 * append a line to a file of their own when they run; the script appends the id of each whose future
 * has settled to `settled`, and at the end writes what came of it to `total`.
 *
 * @module
 */

import { appendFileSync, writeFileSync } from "node:fs";
import process from "node:process";

import { app, type AppFuture, load, pythonApp, shellApp } from "../../mod.ts";

/** Rounds of three calls each. */
const ROUNDS = 20;

/** Rounds that depend on nothing but the one so many before. */
const LANES = 4;

const [folder = ""] = process.argv.slice(2);

const PYTHON = `
def shift(path, n):
    with open(path, "a") as file:
        file.write("ran\\n")
    return n + 2
`;

const grow = app(async (path: string, n: number) => {
  const { appendFileSync } = await import("node:fs");
  appendFileSync(path, "ran\n");
  return 3 * n + 1;
}, { name: "grow" });

const shift = pythonApp<number>(PYTHON, "shift");

const cut = shellApp(
  (path: string, n: number) => `echo ran >> ${path}; echo $((${n} % 1000)) | tee out`,
  { outputs: { out: "out" }, name: "cut" },
);

const modulo = app((text: string) => Number(text), { name: "modulo" });

await using _flow = await load({
  workers: { count: 1, cores: 4 },
  memoize: true,
  checkpoint: "task_exit",
  memoFile: `${folder}/memo.db`,
  runDirectory: `${folder}/records`,
});

const noted: Promise<void>[] = [];

function note<T extends AppFuture<unknown, string>>(id: string, future: T): T {
  noted.push(future.then(() => appendFileSync(`${folder}/settled`, `${id}\n`)));
  return future;
}

const lanes: (AppFuture<number> | number)[] = Array.from({ length: LANES }, (_, lane) => lane);
for (let round = 0; round < ROUNDS; round++) {
  const pathOf = (kind: string): string => `${folder}/ran/${kind}-${round}`;
  const lane = round % LANES;
  const grown = note(`grow-${round}`, grow(pathOf("grow"), lanes[lane] as number));
  const shifted = note(`shift-${round}`, shift(pathOf("shift"), grown));
  const options = { outputs: { out: { to: `${folder}/out/${round}` } } };
  const less = note(`cut-${round}`, cut.with(options)(pathOf("cut"), shifted as never));
  lanes[lane] = modulo(less.get("stdout" as never) as never);
}
await Promise.all(noted);
const ends = await Promise.all(lanes);
writeFileSync(`${folder}/total`, ends.join(" "));
