/** Managers and workers on hosts of their own, some of which cannot reach some. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import process from "node:process";

import { join } from "@std/path";

import { BINARY, ROOT } from "../binary/built.ts";
import { Capture, whyNoCapture } from "./capture.ts";
import { runOn } from "./hosts.ts";
import { Network, whyNoNamespaces } from "./namespaces.ts";
import { Scratch } from "./scratch.ts";

const whyNot = whyNoNamespaces() ?? whyNoCapture();
if (whyNot !== undefined) process.stderr.write(`Other hosts are not tried: ${whyNot}\n`);

/** Contents that are nowhere else. */
const WORDS = ["inlineinput", "largeinput", "peerfile", "awayfile", "largeoutput"];
const SMALL = 100;
const LARGE = 20_000;

/** What the scripts here start with. */
const PREAMBLE = `
const manager = await start({ waitForWorkers: 3 });
const times = (word, count) => (word + " ").repeat(count);
/** A command that writes a word often, without having it in its text. */
const write = (word, path) => "awk 'BEGIN { for (i = 0; i < ${LARGE}; i++) printf \\"" +
  word.slice(0, 4) + "%s \\", \\"" + word.slice(4) + "\\" }' > " + path;
`;

/** Files from the manager, from peer to peer, and back. */
const EXCHANGE = `${PREAMBLE}
const inputs = {
  small: manager.buffer(times("inlineinput", ${SMALL})),
  large: manager.buffer(times("largeinput", ${LARGE})),
};
const [peer, back] = [manager.temp(), manager.buffer()];
await check(manager.submit({
  command: "cat small large > /dev/null; " + write("peerfile", "q"),
  inputs, outputs: { q: peer }, features: ["one"],
}));
const sizes = [];
for (const feature of ["two", "three"]) {
  sizes.push(await check(manager.submit({
    command: "wc -c < q; " + write("largeoutput", "o"),
    inputs: { q: peer }, outputs: { o: manager.buffer() }, features: [feature],
  })));
}
await finish(manager, { sizes });
`;

/** A file whose only holder is where no peer comes. */
const RESCUE = `${PREAMBLE}
const away = manager.temp();
await check(manager.submit({
  command: write("awayfile", "q") + "; echo x >> " + folder + "/made",
  outputs: { q: away }, features: ["three"],
}));
const sizes = [];
for (const feature of ["one", "two"]) {
  sizes.push(await check(manager.submit({
    command: "wc -c < q", inputs: { q: away }, features: [feature],
  })));
}
await finish(manager, { sizes });
`;

const RUNTIMES: readonly [name: string, command: readonly string[], library: string][] = [
  ["the binary", [BINARY, "run", "--quiet"], "tendril"],
  ["Deno", ["deno", "run", "-A"], join(ROOT, "dist/tendril.mjs")],
];

const FEATURES = ["one", "two", "three"];

interface Sizes {
  readonly sizes: readonly string[];
}

const FILE_BYTES = LARGE * "peerfile ".length;

for (const [name, command, library] of RUNTIMES) {
  test.if(whyNot === undefined)(
    `${name} as manager has workers of three hosts share files`,
    async () => {
      await using scratch = await Scratch.open();
      using network = new Network();
      const manager = network.host("manager", [1, 2]);
      const workers = ["a", "b", "c"].map((host) => network.host(host, [2]));
      // The address that is listed first is one that no worker reaches.
      for (const host of workers) network.mislead(host, 1);
      const [one] = workers;
      if (one === undefined) throw new Error("There is no first worker");
      const captures = [
        await Capture.start(manager, { card: "eth1", farewellTo: one.addresses[0] ?? "" }),
        await Capture.start(one, { card: "eth0", farewellTo: manager.addresses[1] ?? "" }),
      ];
      try {
        const hosts = { manager, workers, features: FEATURES };
        const { sizes, status } = await runOn<Sizes>(hosts, scratch, {
          command,
          library,
          text: EXCHANGE,
        });
        expect(sizes).toEqual([`${FILE_BYTES}\n`, `${FILE_BYTES}\n`]);
        expect(status.bytes.workerToWorker).toBe(2 * FILE_BYTES);
        for (const capture of captures) {
          const traffic = await capture.stop();
          const sent = traffic.streams.reduce((sum, { bytes }) => sum + bytes.length, 0);
          expect(sent).toBeGreaterThan(FILE_BYTES);
          expect(WORDS.filter((word) => traffic.has(word))).toEqual([]);
          expect(traffic.streams.filter(({ bytes }) => bytes[0] !== 0x16)).toEqual([]);
        }
      } finally {
        for (const capture of captures) capture[Symbol.dispose]();
      }
    },
    120_000,
  );

  test.if(whyNot === undefined)(
    `${name} as manager passes on the file of a host that no peer reaches`,
    async () => {
      await using scratch = await Scratch.open();
      using network = new Network();
      const manager = network.host("manager", [1, 2, 3]);
      const near = ["a", "b"].map((host) => network.host(host, [2]));
      const away = network.host("c", [3]);
      for (const host of near) network.mislead(host, 3);
      const hosts = { manager, workers: [...near, away], features: FEATURES };
      const { sizes, status } = await runOn<Sizes>(hosts, scratch, {
        command,
        library,
        text: RESCUE,
      });
      expect(sizes).toEqual([`${FILE_BYTES}\n`, `${FILE_BYTES}\n`]);
      // It was made once: it was not remade where others can come.
      expect(readFileSync(scratch.path("made"), "utf8")).toBe("x\n");
      expect(status.bytes.workerToManager).toBe(FILE_BYTES);
    },
    120_000,
  );
}
