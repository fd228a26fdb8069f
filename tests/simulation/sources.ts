/** Sources of simulated transfers: no tickets and no addresses are needed to reach them. */

import type { SourceRef } from "../../manager/core/instruction.ts";
import type { FetchSource } from "../../shared/protocol.ts";

/** The source as a worker is told it. */
export function sourceOf(from: SourceRef): FetchSource {
  switch (from.kind) {
    case "manager":
      return { kind: "manager", ticket: "" };
    case "worker":
      return { kind: "worker", workerId: from.workerId, urls: [], ticket: "" };
    case "url":
      return from;
  }
}
