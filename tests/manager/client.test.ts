import { expect, test } from "bun:test";

import { ClientConnection } from "../../manager/client.ts";
import { ClientError } from "../../manager/client_error.ts";
import type { ClientAnswer, ClientRequest } from "../../manager/client_protocol.ts";
import type { AccessFile } from "../../shared/access_file.ts";
import { newCertificate } from "../../shared/certificate.ts";
import type { TaskId } from "../../shared/ids.ts";
import { ScriptedManager } from "./scripted_manager.ts";

/** A port that nothing listens on. */
const NOWHERE = "http://127.0.0.1:1";

type Tell = (answers: readonly ClientAnswer[]) => void;

function pong({ requestId }: ClientRequest, tell: Tell): void {
  tell([{ kind: "pong", requestId }]);
}

function open(access: AccessFile): Promise<ClientConnection> {
  return ClientConnection.open(() => Promise.resolve(access));
}

async function errorOf(promise: Promise<unknown>): Promise<ClientError> {
  const error = await promise.then(() => undefined, (reason: unknown) => reason);
  if (error instanceof ClientError) return error;
  throw new Error(`Expected a ClientError, got ${error}`);
}

test("ask() sends the requests of one turn together and matches answers by id", async () => {
  const held: (() => void)[] = [];
  await using manager = new ScriptedManager({
    answer: ({ requestId }, tell) => {
      held.push(() => tell([{ kind: "cancelled", requestId, count: requestId }]));
      // The last one first.
      if (held.length === 3) { for (const answer of held.reverse()) answer(); }
    },
  });
  await using client = await open(manager.access);
  const selection = { kind: "all" } as const;
  const answers = await Promise.all([1, 2, 3].map(() => client.ask({ kind: "cancel", selection })));
  expect(answers.map(({ count }) => count)).toEqual([1, 2, 3]);
  expect(manager.frames).toEqual([1, 3]);
  expect([client.name, client.host, client.isLocal]).toEqual(["oak", "elsewhere", false]);
});

test("ask() rejects with what the manager says, and tells its mistakes from ours", async () => {
  await using manager = new ScriptedManager({
    answer: ({ kind, requestId }, tell) => {
      const isUsage = kind === "undeclare";
      tell([{ kind: "failed", requestId, message: `Cannot ${kind}`, isUsage }]);
    },
  });
  await using client = await open(manager.access);
  const wrong = await errorOf(client.ask({ kind: "undeclare", fileId: 7 as never }));
  expect([wrong.code, wrong.message]).toEqual(["usage", "Cannot undeclare"]);
  const failed = await errorOf(client.ask({ kind: "status" }));
  expect([failed.code, failed.message]).toEqual(["failed", "Cannot status"]);
});

test("ask() rejects an answer of another kind", async () => {
  await using manager = new ScriptedManager({ answer: pong });
  await using client = await open(manager.access);
  const error = await errorOf(client.ask({ kind: "workers" }));
  expect(error.message).toBe('Cannot ask manager "oak": it answered "workers" by "pong"');
});

test("ask() passes progress on before the answer", async () => {
  const counts = { total: 2, pending: 1, running: 1, succeeded: 0, failed: 0, cancelled: 0 };
  await using manager = new ScriptedManager({
    answer: ({ requestId }, tell) =>
      tell([
        { kind: "progress", requestId, counts, failures: [] },
        { kind: "waited", requestId, counts, failures: [] },
      ]),
  });
  await using client = await open(manager.access);
  const seen: unknown[] = [];
  const wait = { kind: "wait", selection: { kind: "last" }, progressMs: 1 } as const;
  const waited = await client.ask(wait, { onProgress: (found) => seen.push(found.counts) });
  expect(seen).toEqual([counts]);
  expect(waited.counts).toEqual(counts);
});

test("ask() asks again, in order and as the same client, when the connection breaks", async () => {
  let isBroken = false;
  await using manager = new ScriptedManager({
    answer: (request, tell) => {
      if (isBroken) return pong(request, tell);
      if (request.requestId !== 2) return;
      isBroken = true;
      manager.hangUp();
    },
  });
  await using client = await open(manager.access);
  await Promise.all([client.ask({ kind: "ping" }), client.ask({ kind: "ping" })]);
  const [first, , , again] = manager.heard;
  const kinds = manager.heard.map(({ kind }) => kind);
  expect(kinds).toEqual(["open", "ping", "ping", "open", "ping", "ping"]);
  expect(manager.heard.map(({ requestId }) => requestId)).toEqual([0, 1, 2, 0, 1, 2]);
  expect(again).toEqual(first as ClientRequest);
});

test("ask() keeps a bounded number of waits under way, and other requests pass them", async () => {
  const waiting: number[] = [];
  const sizes: number[] = [];
  await using manager = new ScriptedManager({
    answer: (request, tell) => {
      if (request.kind === "ping") return pong(request, tell);
      waiting.push(request.requestId);
    },
  });
  await using client = await open(manager.access);
  const results = Array.from(
    { length: 100 },
    (_, index) => client.ask({ kind: "result", taskId: index + 1 as TaskId }),
  );
  const closed = Promise.allSettled(results);
  await client.ask({ kind: "ping" });
  sizes.push(waiting.length);
  await client.close();
  expect(sizes).toEqual([48]);
  expect((await closed).every(({ status }) => status === "rejected")).toBe(true);
});

test("open() tries every url, and says of each what was wrong when nothing answers", async () => {
  await using manager = new ScriptedManager({ answer: pong });
  const { access } = manager;
  await using client = await open({ ...access, urls: [NOWHERE, ...access.urls] });
  expect(client.url).toBe(access.urls[0] as string);
  const error = await errorOf(open({ ...access, urls: [NOWHERE] }));
  expect(error.code).toBe("gone");
  expect(error.message).toStartWith(`Cannot ask manager "oak": nothing answers: ${NOWHERE}: `);
});

test("open() tells a manager that has ended from one that refuses", async () => {
  await using manager = new ScriptedManager({ answer: pong });
  const { access } = manager;
  // Pids end at 2^22: PID_MAX_LIMIT of Linux.
  const ended = await errorOf(open({ ...access, urls: [NOWHERE], pid: 2 ** 22 + 1 }));
  expect([ended.code, ended.message]).toEqual([
    "gone",
    'Cannot ask manager "oak": it has ended: its process 4194305 is gone',
  ]);
  const refused = await errorOf(open({ ...access, secrets: { client: "0".repeat(43) } }));
  expect(refused.code).toBe("refused");
  expect(refused.message).toContain("The manager does not know our client secret");
  const { code, message } = await errorOf(open({ ...access, secrets: {} }));
  expect([code, message]).toEqual([
    "refused",
    'Cannot ask manager "oak": its access file has no client secret: it was made for no role',
  ]);
});

test("a connection ends when the manager comes back as another one", async () => {
  await using manager = new ScriptedManager({ answer: () => manager.hangUp() });
  let managerId = manager.access.managerId;
  await using client = await ClientConnection.open(() => {
    const found = { ...manager.access, managerId };
    managerId = "another";
    return Promise.resolve(found);
  });
  const error = await errorOf(client.ask({ kind: "ping" }));
  expect([error.code, error.message]).toEqual([
    "gone",
    'Cannot ask manager "oak": it has ended, and another one has its name',
  ]);
  await expect(client.ask({ kind: "ping" })).rejects.toThrow("it has ended");
});

test("open() accepts the certificate of the access file, and no other", async () => {
  const tls = await newCertificate([]);
  await using manager = new ScriptedManager({ answer: pong, tls });
  await using client = await open(manager.access);
  expect((await client.ask({ kind: "ping" })).kind).toBe("pong");
  const { certificate } = await newCertificate([]);
  const error = await errorOf(open({ ...manager.access, certificate }));
  expect(error.code).toBe("refused");
});

test("close() fails what was not answered", async () => {
  await using manager = new ScriptedManager({ answer: () => void client.close() });
  const client = await open(manager.access);
  const error = await errorOf(client.ask({ kind: "ping" }));
  expect(error.message).toBe('Cannot ask manager "oak": this side has closed');
});
