/** Channels over real sockets: who may, talks; who breaks a rule, loses that connection alone. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { deflateSync } from "fflate";
import { Hono } from "hono";

import {
  acceptChannel,
  type Channel,
  CHANNEL_BYTES_MAX,
  type ChannelEnd,
  CLOSE_BACKLOG,
  CLOSE_BAD_FRAME,
  CLOSE_REFUSED,
  dialChannel,
} from "../../shared/channel.ts";
import { encodeFrame } from "../../shared/codec.ts";
import { HANDSHAKE_BYTES_MAX, newSecret, type Role } from "../../shared/handshake.ts";
import { managerMessage, workerMessage } from "../../shared/message_shapes.ts";
import {
  type ManagerMessage,
  PROTOCOL_VERSION,
  type WorkerMessage,
} from "../../shared/protocol.ts";
import { newRandom, nextRandomBelow, type RandomState } from "../../shared/random.ts";
import { connect } from "../../shared/runtime/connect.ts";
import { serve, type Server, upgradeSocket } from "../../shared/runtime/serve.ts";
import type { Socket, SocketHandlers } from "../../shared/runtime/socket.ts";
import { MANAGER_SAMPLES, WORKER_SAMPLES } from "./message_samples.ts";

const secrets = { worker: newSecret(), client: newSecret() };
const HANDSHAKE_SHORT_MS = 50;

/** Ends that the server saw, accepted or not. */
let ends: ChannelEnd[] = [];
let taken: WorkerMessage[] = [];
let server: Server;

/** A manager that answers every heartbeat, and `leaving` with all that it can say. */
function workerRoute(handshakeTimeoutMs?: number): SocketHandlers {
  return acceptChannel<WorkerMessage, ManagerMessage>({ worker: secrets.worker }, {
    check: workerMessage,
    handlers: {
      open: () => {},
      messages: (channel, messages) => {
        taken.push(...messages);
        for (const message of messages) {
          if (message.kind === "heartbeat") channel.send([{ kind: "heartbeat" }]);
          if (message.kind === "leaving") channel.send(Object.values(MANAGER_SAMPLES).flat());
        }
      },
      close: (_channel, end) => ends.push(end),
    },
    refused: (end) => ends.push(end),
    ...(handshakeTimeoutMs === undefined ? {} : { handshakeTimeoutMs }),
  });
}

beforeAll(() => {
  const app = new Hono();
  app.get("/worker", upgradeSocket(() => workerRoute()));
  app.get("/impatient", upgradeSocket(() => workerRoute(HANDSHAKE_SHORT_MS)));
  server = serve(app);
});

afterAll(() => server.close());

/** A worker's end whose socket is at hand, to send what no channel would. */
class Peer {
  socket!: Socket;
  channel: Channel<WorkerMessage> | undefined;
  readonly messages: ManagerMessage[] = [];
  readonly opened: PromiseWithResolvers<boolean> = Promise.withResolvers();
  readonly closed: PromiseWithResolvers<ChannelEnd> = Promise.withResolvers();
  #wake: () => void = () => {};

  static async dial(
    identity: { role: Role; secret: string } = { role: "worker", secret: secrets.worker },
  ): Promise<Peer> {
    const peer = new Peer();
    const end = (end: ChannelEnd): void => {
      peer.opened.resolve(false);
      peer.closed.resolve(end);
      peer.#wake();
    };
    const handlers = dialChannel<ManagerMessage, WorkerMessage>(identity, {
      check: managerMessage,
      handlers: {
        open: (channel) => {
          peer.channel = channel;
          peer.opened.resolve(true);
        },
        messages: (_channel, messages) => {
          peer.messages.push(...messages);
          peer.#wake();
        },
        close: (_channel, reached) => end(reached),
      },
      refused: end,
    });
    peer.socket = await connect(`ws://127.0.0.1:${server.port}/worker`, { handlers });
    await peer.opened.promise;
    return peer;
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.#wake = resolve);
  }

  /** True when the manager still answers this peer. */
  async isAnswered(): Promise<boolean> {
    const before = this.messages.length;
    let isClosed = false;
    void this.closed.promise.then(() => {
      isClosed = true;
      this.#wake();
    });
    this.channel?.send([{ kind: "heartbeat" }]);
    await this.until(() => isClosed || this.messages.length > before);
    return !isClosed;
  }
}

/** A connection without any handshake. */
async function dialRaw(path: string): Promise<{ socket: Socket; closed: Promise<ChannelEnd> }> {
  const { promise, resolve } = Promise.withResolvers<ChannelEnd>();
  const socket = await connect(`ws://127.0.0.1:${server.port}${path}`, {
    handlers: { message: () => {}, close: (_socket, code, reason) => resolve({ code, reason }) },
  });
  return { socket, closed: promise };
}

test("acceptChannel() carries every message both ways", async () => {
  taken = [];
  const peer = await Peer.dial();
  const sent = Object.values(WORKER_SAMPLES).flat();
  peer.channel!.send(sent);
  await peer.until(() => peer.messages.length > Object.values(MANAGER_SAMPLES).flat().length);
  expect(taken).toEqual(sent);
  expect(peer.channel!.role).toBe("worker");
  peer.channel!.close("done");
  expect(await peer.closed.promise).toEqual({ code: 1000, reason: "done" });
});

test("acceptChannel() refuses a wrong secret, none, and another role's", async () => {
  const wrong: { role: Role; secret: string }[] = [
    { role: "worker", secret: newSecret() },
    { role: "worker", secret: "" },
    { role: "worker", secret: secrets.client },
    { role: "client", secret: secrets.worker },
    { role: "client", secret: secrets.client },
  ];
  for (const identity of wrong) {
    const peer = await Peer.dial(identity);
    expect(peer.channel).toBeUndefined();
    const { code, fault } = await peer.closed.promise;
    expect(code).toBe(CLOSE_REFUSED);
    expect(["secret", "role"]).toContain(fault!);
  }
});

test("acceptChannel() refuses a client that echoes whatever it is told", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  const hello = {
    kind: "auth_hello",
    protocol: PROTOCOL_VERSION,
    role: "worker",
    nonce: new Uint8Array(32),
  };
  await connect(`ws://127.0.0.1:${server.port}/worker`, {
    handlers: {
      open: (socket) => socket.send(encodeFrame([hello], { compress: false })[0]!),
      message: (socket, bytes) => socket.send(bytes),
      close: (_socket, code) => resolve(code),
    },
  });
  expect(await promise).toBe(CLOSE_REFUSED);
});

test("acceptChannel() takes no message and no large frame before the handshake", async () => {
  const early = await dialRaw("/worker");
  early.socket.send(encodeFrame([{ kind: "heartbeat" }], { compress: false })[0]!);
  expect((await early.closed).code).toBe(CLOSE_REFUSED);
  const large = await dialRaw("/worker");
  large.socket.send(new Uint8Array(HANDSHAKE_BYTES_MAX + 1));
  const end = await large.closed;
  expect(end.code).toBe(CLOSE_BAD_FRAME);
  expect(end.reason).toContain("above 4096 bytes");
});

test("acceptChannel() closes a connection that does not finish its handshake in time", async () => {
  const { closed } = await dialRaw("/impatient");
  expect(await closed).toEqual({ code: CLOSE_REFUSED, reason: "The handshake took too long" });
});

test("acceptChannel() says which field of which message was wrong", async () => {
  const peer = await Peer.dial();
  const wrong = { kind: "recalled", taskId: -1, try: 1 };
  peer.socket.send(encodeFrame([wrong], { compress: false })[0]!);
  expect(await peer.closed.promise).toEqual({
    code: CLOSE_BAD_FRAME,
    reason: 'Cannot take message "recalled": message.taskId is not a whole number from 1',
  });
});

test("acceptChannel() closes only the connection that sends a deflate bomb", async () => {
  const good = await Peer.dial();
  const bomb = deflateSync(new Uint8Array(64 * 1024 * 1024), { level: 9 });
  const peer = await Peer.dial();
  peer.socket.send(new Uint8Array([1, ...bomb]));
  expect((await peer.closed.promise).code).toBe(CLOSE_BAD_FRAME);
  expect(await good.isAnswered()).toBe(true);
  good.channel!.close("done");
});

/** A frame of random bytes, or a good one with some bytes changed. */
function badFrame(random: RandomState, good: readonly Uint8Array[]): Uint8Array {
  if (nextRandomBelow(random, 3) === 0) {
    const length = nextRandomBelow(random, 300);
    return Uint8Array.from({ length }, (_, i) => nextRandomBelow(random, i === 0 ? 3 : 256));
  }
  const frame = good[nextRandomBelow(random, good.length)]!.slice();
  for (let changes = 1 + nextRandomBelow(random, 4); changes > 0; changes--) {
    frame[nextRandomBelow(random, frame.length)] = nextRandomBelow(random, 256);
  }
  return frame;
}

test(
  "acceptChannel() outlives 10,000 random and mutated frames, and so does a neighbour",
  async () => {
    const good = [
      ...encodeFrame(Object.values(WORKER_SAMPLES).flat(), { compress: false }),
      ...encodeFrame(Object.values(WORKER_SAMPLES).flat(), { compress: true }),
      ...Object.values(WORKER_SAMPLES).flatMap((m) => encodeFrame(m, { compress: false })),
    ];
    const neighbour = await Peer.dial();
    ends = [];
    let frameCount = 0;
    let closedCount = 0;
    const attack = async (seed: number): Promise<void> => {
      const random = newRandom(seed);
      let peer = await Peer.dial();
      while (frameCount++ < 10_000) {
        if (nextRandomBelow(random, 4) === 0) {
          const { socket, closed } = await dialRaw("/worker");
          socket.send(badFrame(random, good));
          // Should the first one have been an empty list, this one is wrong for certain.
          socket.send(new Uint8Array(0));
          await closed;
          continue;
        }
        peer.socket.send(badFrame(random, good));
        if (await peer.isAnswered()) continue;
        closedCount++;
        peer = await Peer.dial();
      }
      peer.channel!.close("done");
      await peer.closed.promise;
    };
    await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(attack));
    expect(frameCount).toBeGreaterThanOrEqual(10_000);
    expect(closedCount).toBeGreaterThan(400);
    for (const { code } of ends) expect([1000, CLOSE_BAD_FRAME, CLOSE_REFUSED]).toContain(code);
    expect(await neighbour.isAnswered()).toBe(true);
    neighbour.channel!.close("done");
  },
  60_000,
);

/** A socket that takes nothing once `isFull` is set. */
class FakeSocket implements Socket {
  readonly sent: Uint8Array[] = [];
  bufferedBytes = 0;
  isFull = false;
  closedWith: number | undefined;

  send(bytes: Uint8Array): "sent" | "backpressure" {
    this.sent.push(bytes);
    return this.isFull ? "backpressure" : "sent";
  }

  close(code: number): void {
    this.closedWith ??= code;
  }
}

/** Both ends of a handshake done by hand, the server's on a socket of the test. */
function openFake(): { socket: FakeSocket; channel: Channel<ManagerMessage>; drain(): number } {
  const near = new FakeSocket();
  const far = new FakeSocket();
  let channel: Channel<ManagerMessage> | undefined;
  let drains = 0;
  const server = acceptChannel<WorkerMessage, ManagerMessage>(secrets, {
    check: workerMessage,
    handlers: {
      open: (opened) => channel = opened,
      messages: () => {},
      drain: () => drains++,
      close: () => {},
    },
  });
  const client = dialChannel<ManagerMessage, WorkerMessage>(
    { role: "worker", secret: secrets.worker },
    {
      check: managerMessage,
      handlers: { open: () => {}, messages: () => {}, close: () => {} },
    },
  );
  server.open?.(near);
  client.open?.(far);
  while (far.sent.length + near.sent.length > 0) {
    for (const frame of far.sent.splice(0)) server.message(near, frame);
    for (const frame of near.sent.splice(0)) client.message(far, frame);
  }
  server.close(near, 1000, "");
  const drain = (): number => {
    server.drain?.(near);
    return drains;
  };
  return { socket: near, channel: channel!, drain };
}

test("send() holds frames back under backpressure and sends them in order when drained", () => {
  const { socket, channel, drain } = openFake();
  socket.isFull = true;
  for (const reason of ["a", "b", "c"]) channel.send([{ kind: "release", reason }]);
  expect(channel.isWritable).toBe(false);
  expect(socket.sent.length).toBe(1);
  expect(drain()).toBe(0);
  expect(socket.sent.length).toBe(2);
  socket.isFull = false;
  expect(drain()).toBe(1);
  expect(channel.isWritable).toBe(true);
  const wanted = ["a", "b", "c"].flatMap((reason) =>
    encodeFrame([{ kind: "release", reason } as { kind: string }], { compress: false })
  );
  expect(socket.sent).toEqual(wanted);
});

test("send() closes the connection when more waits than the limit", () => {
  const { socket, channel } = openFake();
  socket.isFull = true;
  const source = { kind: "inline", bytes: new Uint8Array(64 * 1024) } as const;
  const batch = Array.from({ length: 64 }, () => ({ ...MANAGER_SAMPLES.fetch[0]!, source }));
  for (let sent = 0; sent <= CHANNEL_BYTES_MAX; sent += 64 * 64 * 1024) {
    expect(socket.closedWith).toBeUndefined();
    channel.send(batch);
  }
  channel.send(batch);
  expect(socket.closedWith).toBe(CLOSE_BACKLOG);
});
