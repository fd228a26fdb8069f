/**
 * A server for serve_limits.test.ts, run on Bun and on Deno, with limits of a few seconds: prints
 * its port, then a line for each refusal and each stream that was cut.
 */

import process from "node:process";

import { Hono } from "hono";

import {
  beginTransfer,
  beginUpload,
  endUpload,
  serve,
  upgradeSocket,
} from "../../../shared/runtime/serve.ts";

const app = new Hono();

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

app.get("/text", (context) => context.text("hello"));
app.put("/refuse", (context) => context.text("no", 403));

app.put("/count", async (context) => {
  beginUpload(context);
  let sizeBytes = 0;
  for await (const chunk of context.req.raw.body ?? []) sizeBytes += chunk.length;
  endUpload(context);
  return context.text(String(sizeBytes));
});

/** Sends without end. */
app.get("/endless", (context) => {
  beginTransfer(context);
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(65536)),
    cancel: () => say("cut"),
  });
  return context.body(body);
});

app.get(
  "/echo",
  upgradeSocket(() => ({ message: (socket, bytes) => socket.send(bytes), close() {} })),
);

app.get(
  "/leave",
  upgradeSocket(() => ({
    open: (socket) => socket.close(4001, "enough"),
    message() {},
    close: (_socket, code) => say(`left ${code}`),
  })),
);

/** Says more than the system keeps for a connection, and closes. */
app.get(
  "/gush",
  upgradeSocket(() => ({
    open: (socket) => {
      for (let count = 0; count < 24; count++) socket.send(new Uint8Array(2 ** 20));
      socket.close(4002, "enough");
    },
    message() {},
    close: (_socket, code) => say(`left ${code}`),
  })),
);

// A body that breaks off is what the tests are about.
app.onError((_error, context) => context.text("It broke", 500));

const server = serve(app, {
  limits: { headS: 1, silenceS: 6 },
  refused: (kind) => say(`refused ${kind}`),
});
say(String(server.port));
