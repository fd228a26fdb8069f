import { expect, test } from "bun:test";

import {
  CallProtocolError,
  encodeCall,
  encodeDrop,
  encodeLibraryMessage,
  encodeStop,
  encodeSync,
  type HostMessage,
  type LibraryMessage,
  newMessageBuffer,
  readHostMessages,
  readLibraryMessages,
} from "../../../worker/library/call_protocol.ts";

const UTF8 = new TextEncoder();
const NOTHING = new Uint8Array(0);

const CALLS: readonly HostMessage[] = [
  {
    kind: "call",
    callId: 1,
    function: "f",
    arguments: UTF8.encode("a\nb"),
    directory: "/sandbox é",
    files: ["/cache/a", "/cache/b"],
  },
  { kind: "drop", callId: 2 },
  { kind: "call", callId: 3, function: "g", arguments: NOTHING, directory: "", files: [] },
  { kind: "call", callId: 4, function: "h", arguments: NOTHING, directory: "", files: ["/x"] },
  { kind: "stop", callId: 5 },
  { kind: "sync" },
];

const ANSWERS: readonly LibraryMessage[] = [
  { kind: "ready", callsAhead: 7, isOnce: false },
  { kind: "ready", callsAhead: 0, isOnce: true },
  {
    kind: "result",
    callId: 1,
    status: "ok",
    content: UTF8.encode("\nvalue"),
    stdout: UTF8.encode("out"),
    stderr: UTF8.encode("error"),
    microseconds: 12,
  },
  { kind: "dropped", callId: 2 },
  { kind: "sync" },
  { kind: "result", callId: 3, status: "exit", content: NOTHING, stdout: NOTHING, stderr: NOTHING },
  { kind: "running", callId: 6, processId: 4194304 },
  {
    kind: "result",
    callId: 6,
    status: "stopped",
    content: NOTHING,
    stdout: NOTHING,
    stderr: NOTHING,
  },
  { kind: "failed", text: "no é" },
];

test("readHostMessages() reads what encodeCall() wrote, however it is cut", () => {
  const bytes = Buffer.concat(CALLS.flatMap((message) => {
    if (message.kind === "call") return encodeCall(message);
    if (message.kind === "sync") return [encodeSync()];
    return [message.kind === "drop" ? encodeDrop(message.callId) : encodeStop(message.callId)];
  }));
  for (let size = 1; size <= bytes.length; size++) {
    expect(readInParts(bytes, size, readHostMessages)).toEqual([...CALLS]);
  }
});

test("readLibraryMessages() reads what encodeLibraryMessage() wrote, however it is cut", () => {
  const bytes = Buffer.concat(ANSWERS.flatMap(encodeLibraryMessage));
  for (let size = 1; size <= bytes.length; size++) {
    expect(readInParts(bytes, size, readLibraryMessages)).toEqual([...ANSWERS]);
  }
});

test("readLibraryMessages() takes a result in its short form", () => {
  expect(readLibraryMessages(newMessageBuffer(), UTF8.encode("ready\nresult 5 ok 1\n\u0007")))
    .toEqual([
      { kind: "ready", callsAhead: 0, isOnce: false },
      {
        kind: "result",
        callId: 5,
        status: "ok",
        content: new Uint8Array([7]),
        stdout: NOTHING,
        stderr: NOTHING,
      },
    ]);
});

test("readLibraryMessages() keeps no part of the buffer it was given", () => {
  const chunk = Buffer.from("result 5 ok 1 1 1\nabc");
  const [message] = readLibraryMessages(newMessageBuffer(), chunk);
  chunk.fill(0);
  expect(message).toMatchObject({
    content: UTF8.encode("a"),
    stdout: UTF8.encode("b"),
    stderr: UTF8.encode("c"),
  });
});

test("readLibraryMessages() refuses what is not of the protocol", () => {
  const lines = [
    "",
    "hello",
    "READY",
    "ready x",
    "ready 1 2",
    "failed",
    "failed -1",
    "failed 65537",
    "result",
    "result 1 ok",
    "result 1 ok 1048577",
    "result 1 ok 1e3",
    "result 1 ok 1 1",
    "result 1 ok 1 1 65537",
    "result 1 great 1",
    "result -1 ok 1",
    "result 1 ok  1",
    "dropped",
    "dropped 99999999999999999",
    "running 1",
    "running 1 4194305",
    "running 1 2 3",
    "sync 1",
    "call 1 f 0 0",
  ];
  for (const line of lines) {
    expect(() => readLibraryMessages(newMessageBuffer(), UTF8.encode(`${line}\n`)))
      .toThrow(CallProtocolError);
  }
  expect(() => readLibraryMessages(newMessageBuffer(), new Uint8Array(513))).toThrow(
    "more than 512 bytes",
  );
});

function readInParts<M>(
  bytes: Uint8Array,
  size: number,
  read: (buffer: ReturnType<typeof newMessageBuffer>, chunk: Uint8Array) => M[],
): M[] {
  const buffer = newMessageBuffer();
  const messages: M[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    messages.push(...read(buffer, bytes.subarray(at, at + size)));
  }
  return messages;
}
