/**
 * A server for serve.test.ts, run on Bun and on Deno: prints its port, serves until its standard
 * input ends, and then prints what it saw.
 */

import process from "node:process";

import { Hono } from "hono";

import { serve, upgradeSocket } from "../../../shared/runtime/serve.ts";
import type { SendResult, Socket } from "../../../shared/runtime/socket.ts";

const MEBIBYTE = 1024 * 1024;
const app = new Hono();
const seen: Record<string, unknown> = {};

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

app.get("/text", (context) => context.text("hello"));

app.put("/count", async (context) => {
  let sizeBytes = 0;
  for await (const chunk of context.req.raw.body ?? []) sizeBytes += chunk.length;
  return context.text(String(sizeBytes));
});

app.get(
  "/echo",
  upgradeSocket(() => ({
    message: (socket, bytes) => {
      if (new TextDecoder().decode(bytes) === "close") socket.close(4321, "as asked ü".repeat(50));
      else socket.send(bytes);
    },
    close: (_socket, code, reason) => seen["echo"] = { code, reason },
  })),
);

/** Answers each frame with one byte. */
app.get(
  "/sink",
  upgradeSocket(() => ({
    message: (socket) => socket.send(new Uint8Array(1)),
    close: () => {},
  })),
);

/** Sends until it is told to stop, then goes on when drained, until 64 MiB went out. */
app.get(
  "/flood",
  upgradeSocket(() => {
    const results = new Map<SendResult, number>();
    let left = 64;
    const flood = (socket: Socket): void => {
      while (left > 0) {
        left--;
        const result = socket.send(new Uint8Array(MEBIBYTE));
        results.set(result, (results.get(result) ?? 0) + 1);
        if (result === "backpressure") return;
      }
    };
    return {
      open: flood,
      drain: flood,
      message: () => {},
      close: () => seen["flood"] = Object.fromEntries(results),
    };
  }),
);

/** Sends without regard for what it is told, and closes what did not take it all. */
app.get(
  "/rude",
  upgradeSocket(() => ({
    open: (socket) => {
      const results = Array.from({ length: 64 }, () => socket.send(new Uint8Array(MEBIBYTE)));
      seen["rude"] = { first: results[0], last: results.at(-1), backlog: socket.bufferedBytes };
      say("sent");
    },
    message: () => {},
    close: () => {},
  })),
);

const server = serve(app);
say(String(server.port));
for await (const _ of process.stdin) {
  // Nothing is said; only the end matters.
}
await server.close();
say(JSON.stringify(seen));
process.exit(0);
