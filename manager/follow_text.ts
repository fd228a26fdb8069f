/** What is followed, as text for a person: with a line for what was skipped and for each new try. */

import type { GrowingSource, WatchEnd } from "../shared/protocol.ts";
import type { FollowPart } from "./follower.ts";
import { checkMount } from "./task_definition.ts";

/** What of a task can be followed: a stream, or the file at the mount of an output. */
export type FollowTarget = string | { readonly mount: string };

/** Bytes of UTF-8 that go on with a character are 10xxxxxx, at most three (RFC 3629). */
const REST_BYTES_MAX = 3;

const WHY_STOPPED: { readonly [reason in WatchEnd]: string } = {
  ended: "it has ended",
  shrunk: "the file was cut short",
  replaced: "another file is in its place",
  special: "it is no regular file",
  unreadable: "it cannot be read",
  "too_many": "its worker has too many watched files",
};

/** Reads what is to be followed: `"stdout"`, `"stderr"`, or a mount. */
export function readTarget(target: unknown): GrowingSource {
  if (target === "stdout" || target === "stderr") return { kind: "stream", stream: target };
  const isObject = typeof target === "object" && target !== null && "mount" in target;
  return { kind: "mount", mount: checkMount(isObject ? target.mount : target, "what to follow") };
}

/** The texts of `parts`, as they come; characters are never cut in two. */
export async function* followTexts(parts: AsyncIterable<FollowPart>): AsyncGenerator<string, void> {
  let decoder = new TextDecoder();
  let number = 0;
  let isAtLineStart = true;
  const note = (text: string): string => {
    decoder = new TextDecoder();
    const begin = isAtLineStart ? "" : "\n";
    isAtLineStart = true;
    return `${begin}[… ${text}]\n`;
  };
  for await (const part of parts) {
    let text = "";
    if (number !== 0 && part.try !== number) text += note(`try ${part.try}`);
    if (part.skippedBytes > 0) text += note(`${part.skippedBytes} bytes skipped`);
    number = part.try;
    const bytes = part.skippedBytes > 0 ? fromCharacter(part.bytes) : part.bytes;
    text += decoder.decode(bytes, { stream: true });
    if (text !== "") isAtLineStart = text.endsWith("\n");
    if (part.stopped !== undefined) {
      text += note(`not followed any more: ${WHY_STOPPED[part.stopped]}`);
    }
    if (text !== "") yield text;
  }
  const last = decoder.decode();
  if (last !== "") yield last;
}

function fromCharacter(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < REST_BYTES_MAX && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.subarray(start);
}
