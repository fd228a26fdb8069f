/** What the environment says of proxies and certificates is not for servers of ours. */

import { expect, test } from "bun:test";
import { createServer } from "node:net";
import process from "node:process";

import { Hono } from "hono";

import { type KeyPair, newCertificate } from "../../../shared/certificate.ts";
import { connect } from "../../../shared/runtime/connect.ts";
import { pinnedFetch } from "../../../shared/runtime/fetch.ts";
import { PinError } from "../../../shared/runtime/pin.ts";
import { serve, type Server, upgradeSocket } from "../../../shared/runtime/serve.ts";

/** Variables for the time of `body`, in both spellings. */
async function withVariables(
  variables: Readonly<Record<string, string>>,
  body: () => Promise<void>,
): Promise<void> {
  const names = Object.keys(variables).flatMap((name) => [name, name.toLowerCase()]);
  const before = names.map((name) => [name, process.env[name]] as const);
  for (const name of names) process.env[name] = variables[name.toUpperCase()];
  try {
    await body();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

function start(tls?: KeyPair): Server {
  const app = new Hono();
  app.get("/text", (context) => context.text("direct"));
  app.get("/socket", upgradeSocket(() => ({ message: () => {}, close: () => {} })));
  return serve(app, { tls });
}

async function reach(server: Server, certificate?: string): Promise<string> {
  const secure = certificate === undefined ? "" : "s";
  const host = `127.0.0.1:${server.port}`;
  const handlers = { message: () => {}, close: () => {} };
  const socket = await connect(`ws${secure}://${host}/socket`, { handlers, certificate });
  socket.close(1000, "done");
  return await (await pinnedFetch(`http${secure}://${host}/text`, {}, certificate)).text();
}

test("pinnedFetch() and connect() pass by the proxy of the environment, which is left as it is", async () => {
  const lines: string[] = [];
  const proxy = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes) => {
      lines.push(String(bytes));
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { port } = proxy.address() as { port: number };
  const known = await newCertificate([]);
  const [plain, secure] = [start(), start(known)];
  const url = `http://127.0.0.1:${port}`;
  try {
    await withVariables({ HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: "nowhere" }, async () => {
      expect(await reach(plain)).toBe("direct");
      expect(await reach(secure, known.certificate)).toBe("direct");
      expect(process.env["NO_PROXY"]).toBe("nowhere");
    });
    expect(lines).toEqual([]);
  } finally {
    await Promise.all([plain.close(), secure.close()]);
    proxy.close();
  }
});

test("pinnedFetch() and connect() refuse a stranger whatever the environment says of TLS", async () => {
  const [known, stranger] = [await newCertificate([]), await newCertificate([])];
  const server = start(stranger);
  const host = `127.0.0.1:${server.port}`;
  try {
    await withVariables({ NODE_TLS_REJECT_UNAUTHORIZED: "0" }, async () => {
      const handlers = { message: () => {}, close: () => {} };
      const { certificate } = known;
      const outcomes = await Promise.allSettled([
        pinnedFetch(`https://${host}/text`, {}, certificate),
        connect(`wss://${host}/socket`, { handlers, certificate }),
      ]);
      for (const outcome of outcomes) {
        expect(outcome.status === "rejected" && outcome.reason).toBeInstanceOf(PinError);
      }
    });
  } finally {
    await server.close();
  }
});
