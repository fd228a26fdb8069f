/**
 * Main of the process that owns a memo file: reads orders from its standard input, answers each, and
 * ends when its input does. What has come as a whole is done by then, whatever became of the manager.
 *
 * @module
 */

import process from "node:process";

import { unreachable } from "../../shared/assert.ts";
import { FrameReader, writeFrame } from "../../shared/pipe_frame.ts";
import { descriptorStream } from "../../shared/runtime/descriptor_stream.ts";
import { MemoDatabase } from "./memo_database.ts";
import type { MemoAnswers, MemoOrder, MemoReply, MemoRequest } from "./memo_frame.ts";

/** Runs until the end of standard input; resolves to the exit code. */
export async function runMemoCommand(): Promise<number> {
  process.stdout.on("error", () => {
    // The manager is gone: what it has said is done all the same.
  });
  using desk = new MemoDesk();
  const reader = new FrameReader<MemoRequest>();
  for await (const chunk of descriptorStream(0)) {
    for (const request of reader.read(chunk)) {
      process.stdout.write(writeFrame(desk.take(request)));
    }
  }
  return 0;
}

/** Owner of the file. */
class MemoDesk implements Disposable {
  #database: MemoDatabase | undefined;
  /** Why there is none. */
  #fault = "Cannot use a memo file: it is not open";

  take({ id, order }: MemoRequest): MemoReply {
    try {
      return { id, answer: this.#answer(order) };
    } catch (error) {
      return { id, refused: error instanceof Error ? error.message : String(error) };
    }
  }

  [Symbol.dispose](): void {
    this.#database?.[Symbol.dispose]();
  }

  #answer(order: MemoOrder): MemoAnswers[MemoOrder["kind"]] {
    if (order.kind === "open") {
      this.#open(order);
      return null;
    }
    const database = this.#database;
    // Whoever asks before it is answered is told the same.
    if (database === undefined) throw new Error(this.#fault);
    switch (order.kind) {
      case "get":
        return database.get(order.keys);
      case "write":
        database.write(order.rows, order.digests);
        return null;
      case "list":
        return database.list(order.filter, order.after);
      case "forget":
        return database.forget(order.filter, order.after);
      case "reset":
        database.forgetDigests();
        return null;
      case "shrink":
        return database.shrink();
      case "recall":
        return database.recall(order.files);
      default:
        return unreachable(order);
    }
  }

  #open(place: { readonly path: string; readonly isNewAllowed: boolean }): void {
    try {
      this.#database = new MemoDatabase(place);
    } catch (error) {
      this.#fault = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }
}
