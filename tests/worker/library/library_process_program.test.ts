import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { link, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { encodeArguments } from "../../../shared/value.ts";
import type { LibraryProcessOptions } from "../../../worker/library/library_process.ts";
import { startInstance, type TestInstance, textOf, thrownOf, valueOf } from "./library_instance.ts";

const README = join(import.meta.dirname!, "../../../README.md");

/** In C: "add" of two small whole numbers, and "crash". */
const C_LIBRARY = String.raw`
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  FILE *calls = fdopen(3, "r"), *results = fdopen(4, "w");
  char name[201];
  long id, size, paths;
  static unsigned char bytes[2 << 20];
  fprintf(results, "ready\n");
  fflush(results);
  while (fscanf(calls, "call %ld %200s %ld %ld", &id, name, &size, &paths) == 4) {
    fgetc(calls);
    fread(bytes, 1, size + paths, calls);
    /* CBOR: 0x82 is an array of two, and a number below 24 is one byte. */
    if (strcmp(name, "add") == 0 && size == 3 && bytes[0] == 0x82 && bytes[1] + bytes[2] < 24)
      fprintf(results, "result %ld ok 1\n%c", id, bytes[1] + bytes[2]);
    else if (strcmp(name, "crash") == 0) abort();
    else fprintf(results, "result %ld error 11\nno such sum", id);
    fflush(results);
  }
  return 0;
}
`;

function startShell(
  source: string,
  options: Partial<LibraryProcessOptions> = {},
): Promise<TestInstance> {
  return startInstance({ command: ["/bin/sh", "-c", source] }, options);
}

test("call() is served by the program in shell that README shows", async () => {
  const text = await readFile(README, "utf8");
  const source = /<!-- file: server.sh -->\n+```sh\n([^]*?)```/.exec(text)![1]!;
  expect(source.split("\n").length).toBeLessThanOrEqual(33);
  await using instance = await startShell(source);
  const path = join(instance.directory, "some file");
  await writeFile(path, "12345");
  const { bytes } = encodeArguments([{}], {
    onFile: (value) => Object.keys(value).length === 0 ? "f" : undefined,
    onHandle: () => undefined,
  });
  const size = { arguments: bytes, files: [path] };
  expect(valueOf(await instance.call("size", [], size))).toBe("5 bytes");
  const missing = await instance.call("size", [], { ...size, files: ["/nowhere"] });
  expect(thrownOf(missing).message).toBe("Cannot read /nowhere");
  expect(thrownOf(await instance.call("other", ["x".repeat(5000)])).message)
    .toBe("No function other");
});

const compiler = ["cc", "gcc", "clang"].find((name) => {
  return spawnSync(name, ["--version"]).status === 0;
});

// Without a compiler there is nothing to serve.
test.skipIf(compiler === undefined)("call() is served by a program in C", async () => {
  const build = (path: string) => {
    const { status, stderr } = spawnSync(compiler!, ["-x", "c", "-w", "-o", path, "-"], {
      input: C_LIBRARY,
    });
    expect([status, String(stderr)]).toEqual([0, ""]);
  };
  const path = join(process.env["TMPDIR"] ?? "/tmp", `tendril-c-library-${process.pid}`);
  build(path);
  try {
    await using instance = await startInstance({ command: [path] }, { slots: 2 });
    const calls = Array.from({ length: 12 }, (_, n) => ["add", n, 11] as const);
    expect((await instance.callAll(calls)).map(valueOf)).toEqual(calls.map(([, n]) => n + 11));
    expect(thrownOf(await instance.call("add", ["one", 2])).message).toBe("no such sum");
    expect((await instance.call("crash")).end).toEqual({
      kind: "lost",
      message: 'The process of function "crash" died: killed by SIGABRT',
    });
    expect(valueOf(await instance.call("add", [1, 2]))).toBe(3);
  } finally {
    spawnSync("rm", [path]);
  }
});

/** Answers "good" with 7, and calls of other names as the shell code of that name says. */
const HOSTILE = `
  echo ready 4 >&4
  while read -r word id name size paths <&3; do
    head -c "$((\${size:-0} + \${paths:-0}))" <&3 >/dev/null
    case $name in
      good) printf 'result %s ok 1\\n\\007' "$id" >&4 ;;
      garbage) printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&4; sleep 600 ;;
      close) exec 4>&-; sleep 600 ;;
      deaf) exec 3<&-; printf 'result %s ok 1\\n\\007' "$id" >&4; sleep 600 ;;
      large) printf 'result %s ok 1073741824\\n' "$id" >&4; sleep 600 ;;
      twice) printf 'result %s ok 1\\n\\007result %s ok 1\\n\\010' "$id" "$id" >&4; sleep 600 ;;
      other) printf 'result 987654 ok 1\\n\\007' >&4; sleep 600 ;;
      again) echo ready 4 >&4; sleep 600 ;;
      refuse) echo "dropped $id" >&4; sleep 600 ;;
      stopped) printf 'result %s stopped 0\\n' "$id" >&4 ;;
      failed) printf 'failed 6\\nno fun' >&4; sleep 600 ;;
    esac
  done
`;

test("call() ends with what a program did against the protocol, and the next is served", async () => {
  await using instance = await startShell(HOSTILE);
  const expected: { readonly [name: string]: string } = {
    garbage: 'Cannot read "GET / HTTP/1.1\r" as a line of the call protocol: no such message',
    close: "it writes no more results",
    large: "word 4 is not a number up to 1048576",
    other: "it answered call 987654: it was not given that call, or has answered it",
    again: 'it said "ready" a second time',
    refuse: "which nobody had asked for",
    stopped: "stopped by its program, which nobody had told to",
    failed: "no fun",
  };
  for (const [name, found] of Object.entries(expected)) {
    const { end } = await instance.call(name);
    expect(end.kind === "lost" ? end.message : end.kind).toContain(found);
    expect(valueOf(await instance.call("good"))).toBe(7);
  }
});

test("call() takes the first of two answers to a call, and ends the process for the second", async () => {
  await using instance = await startShell(HOSTILE);
  expect(valueOf(await instance.call("twice"))).toBe(7);
  const results = await instance.callAll([["good"], ["good"]]);
  expect(results.map(valueOf)).toEqual([7, 7]);
  expect(instance.results.length).toBe(3);
});

test("call() ends a program that reads no calls any more", async () => {
  await using instance = await startShell(HOSTILE);
  expect(valueOf(await instance.call("deaf"))).toBe(7);
  expect((await instance.call("good")).end).toEqual({
    kind: "lost",
    message: 'The process of function "good" died: it reads no more calls',
  });
  expect(valueOf(await instance.call("good"))).toBe(7);
});

test("call() ends a program that talks and does not listen", async () => {
  await using instance = await startShell("echo ready >&4; read -r line <&3; yes sync >&4");
  const { end } = await instance.call("any");
  expect(end.kind === "lost" && end.message).toContain('it said "sync" and did not wait');
});

test("onDied() tells of a program that is not ready again in time", async () => {
  const source = `
    if mkdir once 2>/dev/null; then echo ready >&4; read -r line <&3; exit 5; fi
    echo still loading; sleep 600
  `;
  await using instance = await startShell(source, { startMsMax: 1_500 });
  const lost = await instance.call("any");
  expect(lost.end).toMatchObject({ kind: "lost" });
  expect(await instance.died).toBe(
    "A process of the library died starting: not ready after 1500 ms",
  );
});

test("start() rejects when a forking program serves one call alone", async () => {
  await expect(startShell("echo ready once >&4; sleep 600", { mode: "fork", slots: 2 })).rejects
    .toThrow('Cannot start library: it said "ready once"');
});

test("call() tells what a call had printed that was stopped, and keeps nothing of its value", async () => {
  const source = `
    echo ready >&4
    while read -r word id name size paths <&3; do
      head -c "$((size + paths))" <&3 >/dev/null
      echo old >value-7; echo half >"value-$id"
      echo "so far" >stdout; echo "and bad" >stderr
      case $name in hang) sleep 600 ;; die) exit 4 ;; esac
    done
  `;
  await using instance = await startShell(source);
  const stopped = await instance.call("hang", [], { timeoutMs: 300 });
  const died = await instance.call("die");
  expect([stopped, died].map(({ end }) => end.kind)).toEqual(["timeout", "lost"]);
  for (const { stdout, stderr } of [stopped, died]) {
    expect([textOf(stdout), textOf(stderr)]).toEqual(["so far\n", "and bad\n"]);
  }
  const left = await readdir(join(instance.directory, "slot-0"));
  expect(left.sort()).toEqual(["stderr", "stdout", "value-7"]);
});

test("call() gets a large value written to a file of its own, whatever has its name", async () => {
  const module = "export const big = () => new Uint8Array(2_000_000);";
  let linked = "";
  await using instance = await startInstance(module, {
    async prepare(directory) {
      linked = join(directory, "../input");
      await writeFile(linked, "an input");
      await link(linked, join(directory, "value-1"));
    },
  });
  expect((await instance.call("big")).end).toMatchObject({ kind: "ok_file" });
  expect(await readFile(linked, "utf8")).toBe("an input");
});
