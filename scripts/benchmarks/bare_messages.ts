/**
 * Messages to and from bare children, without Tendril: over Bun's own channel with a child that is
 * JavaScript, and as lines over pipes with one that is Python.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";

import { timed } from "./workers.ts";

/** As many at a time to each child as a call loop without a manager would have under way. */
const UNDER_WAY = 64;

/** Sends a message to a child; `heard` of its opener tells that one came back. */
interface EchoChild extends AsyncDisposable {
  send(): void;
}

/** What the children are written in. */
export type EchoLanguage = "javascript" | "python";

/** Returns how many messages a second come back from `childCount` children. */
export async function measureEchoRate(
  language: EchoLanguage,
  { count, childCount }: { readonly count: number; readonly childCount: number },
): Promise<number> {
  const perChild = count / childCount;
  const ms = await timed(() =>
    Promise.all(Array.from({ length: childCount }, async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      let [sent, heard] = [0, 0];
      await using child: EchoChild = openEcho(language, () => {
        heard += 1;
        if (sent < perChild) send();
        if (heard === perChild) resolve();
      });
      const send = () => {
        sent += 1;
        child.send();
      };
      while (sent < Math.min(UNDER_WAY, perChild)) send();
      await promise;
    }))
  );
  return count / ms * 1000;
}

/** Returns how many milliseconds each of so many round trips took, one at a time. */
export async function measureEchoTimes(language: EchoLanguage, count: number): Promise<number[]> {
  let came = () => {};
  await using child = openEcho(language, () => came());
  const times: number[] = [];
  for (let round = 0; round < count; round++) {
    times.push(
      await timed(() =>
        new Promise<void>((resolve) => {
          came = resolve;
          child.send();
        })
      ),
    );
  }
  return times;
}

function openEcho(language: EchoLanguage, heard: () => void): EchoChild {
  return language === "javascript" ? openScript(heard) : openPython(heard);
}

function openScript(heard: () => void): EchoChild {
  const child = Bun.spawn({
    cmd: [process.execPath, pathOf("echo.ts")],
    stdio: ["ignore", "ignore", "inherit"],
    ipc: heard,
  });
  return { send: () => child.send(7), [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}

function openPython(heard: () => void): EchoChild {
  const child = Bun.spawn({
    cmd: ["python3", pathOf("echo.py")],
    stdio: ["pipe", "pipe", "inherit"],
  });
  const reading = (async () => {
    for await (const chunk of child.stdout) {
      for (const byte of chunk) if (byte === 10) heard();
    }
  })();
  return {
    send() {
      child.stdin.write("7\n");
      child.stdin.flush();
    },
    async [Symbol.asyncDispose]() {
      await child.stdin.end();
      await reading;
      await child.exited;
    },
  };
}

function pathOf(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url).href);
}
