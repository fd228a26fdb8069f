/** Whatever is read from outside ends in a value that was checked, or in the error made for that. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { deflateRawSync } from "node:zlib";

import { join } from "@std/path";

import { clientAnswer, clientRequest } from "../../manager/client_shapes.ts";
import { AccessFileError, readAccessFile } from "../../shared/access_file.ts";
import { ArchiveError } from "../../shared/archive/archive_error.ts";
import { ByteReader } from "../../shared/archive/byte_reader.ts";
import { readPrefixRecords } from "../../shared/archive/prefix_records.ts";
import { TarReader } from "../../shared/archive/tar_reader.ts";
import { decodeFrame, encodeFrame, FRAME_BYTES_MAX } from "../../shared/codec.ts";
import { FrameError } from "../../shared/frame_error.ts";
import {
  HANDSHAKE_BYTES_MAX,
  HANDSHAKE_ITEMS_MAX,
  newClientHandshake,
  newServerHandshake,
} from "../../shared/handshake.ts";
import { type Check, checkMessages } from "../../shared/message_check.ts";
import { managerMessage, workerMessage } from "../../shared/message_shapes.ts";
import { checkTicket, issueTicket, readTicketHeader, ticketHeader } from "../../shared/ticket.ts";
import { NdArray, Pickle } from "../../shared/nd_array.ts";
import { decodeValue, encodeValue } from "../../shared/value.ts";
import { MANAGER_SAMPLES, WORKER_SAMPLES } from "../shared/message_samples.ts";
import { rawTar } from "../shared/archive/raw_tar.ts";
import { Fuzzer } from "./fuzzer.ts";

const LIMIT_MS = 7_200_000;

const MESSAGES: readonly { readonly kind: string }[] = [
  ...Object.values(MANAGER_SAMPLES).flat(),
  ...Object.values(WORKER_SAMPLES).flat(),
  { kind: "open", requestId: 1, version: 1, clientId: "a" },
  { kind: "wait", requestId: 2, selection: { kind: "ids", ranges: [[1, 5]] }, progressMs: 0 },
] as never;

const FRAMES: readonly Uint8Array[] = MESSAGES.flatMap((message) => {
  return encodeFrame([message], { compress: false });
});

const CHECKS: readonly Check<unknown>[] = [
  managerMessage,
  workerMessage,
  clientRequest,
  clientAnswer,
] as readonly Check<unknown>[];

/** Runs `work`; an error must be a FrameError, and what came back be no larger than a frame. */
function decoded(frame: Uint8Array): readonly unknown[] | undefined {
  try {
    return decodeFrame(frame);
  } catch (error) {
    if (error instanceof FrameError) return undefined;
    throw error;
  }
}

test("decodeFrame() and checkMessages() take or refuse any bytes", async () => {
  const fuzzer = new Fuzzer();
  let takenCount = 0;
  const count = await fuzzer.run(0.4, () => {
    let frame = fuzzer.mutated(fuzzer.pick(FRAMES), FRAMES);
    const how = fuzzer.below(8);
    if (how === 0) {
      const payload = deflateRawSync(frame.subarray(1), { level: 1 });
      frame = fuzzer.mutated(Buffer.concat([new Uint8Array([1]), payload]));
    } else if (how < 6 && frame.length > 0) frame[0] = 0;
    const messages = decoded(frame);
    if (messages === undefined) return;
    takenCount += 1;
    for (const check of CHECKS) {
      try {
        checkMessages(check, messages);
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
      }
    }
  });
  // Both ends must be reached often, or the inputs test little.
  expect(takenCount).toBeGreaterThan(count / 20);
  expect(takenCount).toBeLessThan(count);
}, LIMIT_MS);

test(
  "decodeFrame() refuses bombs of deflate and of nesting, and holds little for them",
  async () => {
    const fuzzer = new Fuzzer();
    const bomb = deflateRawSync(new Uint8Array(FRAME_BYTES_MAX * 2));
    const nested = new Uint8Array(100_000).fill(0x81);
    await fuzzer.run(0.0003, () => {
      for (const payload of [bomb, deflateRawSync(nested)]) {
        const frame = new Uint8Array(payload.length + 1);
        frame[0] = 1;
        frame.set(payload, 1);
        expect(decoded(frame.subarray(0, frame.length - fuzzer.below(3)))).toBeUndefined();
      }
    });
  },
  LIMIT_MS,
);

test("readPrefixRecords() takes or refuses any text", async () => {
  const fuzzer = new Fuzzer();
  const lists = ["('a', '/p', 'text')", `('b\\x41', "/q" '\\u00e9', 'binary'),  # more\n`, ""];
  const programs = lists.map((list) => Buffer.from(`_prefix_records = [\n${list}]\nmain()`));
  let takenCount = 0;
  const count = await fuzzer.run(0.4, () => {
    const text = Buffer.from(fuzzer.mutated(fuzzer.pick(programs), programs)).toString();
    try {
      for (const record of readPrefixRecords(text).records) {
        const { path, placeholder } = record;
        const isSafe = !path.startsWith("/") && !path.split("/").includes("..");
        expect([isSafe, placeholder.length > 1]).toEqual([true, true]);
      }
      takenCount += 1;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
    }
  });
  expect(takenCount).toBeGreaterThan(count / 20);
  expect(takenCount).toBeLessThan(count);
}, LIMIT_MS);

test("newServerHandshake() and newClientHandshake() accept nobody by chance", async () => {
  const fuzzer = new Fuzzer();
  const limits = { bytesMax: HANDSHAKE_BYTES_MAX, itemsMax: HANDSHAKE_ITEMS_MAX };
  await fuzzer.run(0.1, () => {
    const server = newServerHandshake({ worker: "secret" });
    const client = newClientHandshake("worker", "secret");
    const [challenge] = server.receive(client.opening[0]).send;
    const [answer] = client.receive(challenge).send;
    const said = [
      ...client.opening,
      ...(challenge ? [challenge] : []),
      ...(answer ? [answer] : []),
    ];
    const valid = encodeFrame([fuzzer.pick(said)], { compress: false })[0] ?? new Uint8Array();
    const frame = fuzzer.mutated(valid);
    if (frame.length === valid.length && frame.every((byte, at) => byte === valid[at])) return;
    const attacked = fuzzer.pick([
      newServerHandshake({ worker: "secret" }),
      newClientHandshake("worker", "secret"),
      client,
    ]);
    try {
      for (const message of decodeFrame(frame, limits)) {
        const { state } = attacked.receive(message);
        // Only the bare word may be what the client waits for, having proved itself.
        if (state.kind === "accepted") throw new Error("It was accepted");
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
    }
  });
}, LIMIT_MS);

test("checkTicket() takes no ticket but the one that was issued", async () => {
  const fuzzer = new Fuzzer();
  const key = new Uint8Array(32).fill(1);
  const use = { server: "manager", method: "GET", name: "file-a", nowMs: 1000 };
  const facts = { generation: 0, sizeBytes: 5, digest: "" };
  const valid = issueTicket(key, {
    ...facts,
    source: "manager",
    destination: "worker",
    method: "GET",
    name: "file-a",
    expiresAtMs: 2000,
  });
  expect(checkTicket(key, valid, use).kind).toBe("ok");
  await fuzzer.run(0.2, () => {
    const header = fuzzer.mutatedText(ticketHeader(valid));
    const ticket = readTicketHeader(header);
    if (ticket === undefined || ticket === valid) return;
    expect(checkTicket(key, ticket, use).kind).toBe("refused");
  });
}, LIMIT_MS);

test("decodeValue() reads any bytes as a value, or refuses them", async () => {
  const fuzzer = new Fuzzer();
  const valid = encodeValue({
    list: [1, 2.5, "text", null, true],
    map: new Map([[1, new Date(0)]]),
    set: new Set(["a"]),
    big: 2n ** 70n,
    bytes: new Uint8Array([1, 2, 3]),
    numbers: new Float64Array([1, 2]),
    image: new NdArray([2, 1, 2], new Int16Array([1, 2, 3, 4])),
    mask: new NdArray([2, 2], [true, false, true, true]),
    pickle: new Pickle(new Uint8Array([128, 4, 46])),
  });
  await fuzzer.run(0.15, () => {
    try {
      const read = decodeValue(fuzzer.mutated(valid)) as { readonly image?: unknown };
      const { image } = typeof read === "object" && read !== null ? read : {};
      if (image instanceof NdArray) {
        const count = image.shape.reduce((total: number, size: number) => total * size, 1);
        expect(image.data.length).toBe(count);
      }
    } catch (error) {
      const isOurs = error instanceof Error && error.message.startsWith("Cannot ");
      if (!isOurs) throw error;
    }
  });
}, LIMIT_MS);

test("TarReader reads any bytes as members, or refuses them", async () => {
  const fuzzer = new Fuzzer();
  const valid = rawTar(
    { name: "bin/", type: "5" },
    { name: "bin/run", mode: "0000755", data: "x".repeat(700) },
    { name: "link", type: "2", link: "bin/run" },
    { name: "long", type: "L", data: "lib/gnu\0" },
  );
  await fuzzer.run(0.03, async () => {
    const bytes = fuzzer.mutated(valid);
    try {
      await readAll(bytes);
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
    }
  });
}, LIMIT_MS);

test("readAccessFile() trusts nothing that is not an access file", async () => {
  const fuzzer = new Fuzzer();
  const folder = mkdtempSync(join(tmpdir(), "tendril-test-"));
  const path = join(folder, "access.json");
  const valid = JSON.stringify({
    version: 1,
    name: "demo",
    managerId: "m",
    urls: ["http://127.0.0.1:1"],
    secrets: { worker: "w", client: "c" },
    pid: 1,
    host: "h",
    startedAtMs: 1,
  });
  try {
    await fuzzer.run(0.02, async () => {
      writeFileSync(path, fuzzer.mutated(new TextEncoder().encode(valid)), { mode: 0o600 });
      try {
        const access = await readAccessFile(path);
        expect(access.urls.every((url) => typeof url === "string")).toBe(true);
      } catch (error) {
        if (!(error instanceof AccessFileError)) throw error;
      }
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, LIMIT_MS);

async function readAll(bytes: Uint8Array): Promise<void> {
  const reader = new TarReader(new ByteReader(chunks(bytes), 1_000_000), {
    entryCountMax: 1000,
    pathBytesMax: 4096,
    pathDepthMax: 100,
  });
  while (await reader.next() !== undefined) {
    // Data are passed over.
  }
  await reader.drain();
}

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes.subarray(0, 700));
  yield bytes.subarray(700);
}
