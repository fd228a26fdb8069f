/** Issues the tickets of one manager, for its own server and for its workers' peer servers. */

import { createHmac } from "node:crypto";

import type { WorkerId } from "../shared/ids.ts";
import type { FileFacts } from "../shared/task.ts";
import { issueTicket } from "../shared/ticket.ts";

/** A transfer may wait its turn and be resumed this long. */
const TICKET_MS = 3600e3;

/** What of a file a ticket states. */
export type TicketFile = Pick<FileFacts, "name" | "generation" | "sizeBytes" | "digest">;

/** The keys of one manager. */
export class Tickets {
  readonly #managerId: string;
  readonly #secret: Uint8Array;

  constructor(managerId: string, secret: Uint8Array) {
    this.#managerId = managerId;
    this.#secret = secret;
  }

  /** The key of the manager's own server. */
  get managerKey(): Uint8Array {
    return this.#keyOf("manager");
  }

  /** The key of that worker's peer server; the same whenever it connects. */
  workerKey(workerId: WorkerId): Uint8Array {
    return this.#keyOf(`worker\n${workerId}`);
  }

  /** Leave for `to` to get `file` from the manager, or from the worker `from`. */
  get(
    file: TicketFile,
    route: { readonly from: WorkerId | "manager"; readonly to: string },
  ): string {
    const { from, to } = route;
    const isManager = from === "manager";
    return issueTicket(isManager ? this.managerKey : this.workerKey(from), {
      ...factsOf(file),
      source: isManager ? this.#managerId : from,
      destination: to,
      method: "GET",
      expiresAtMs: Date.now() + TICKET_MS,
    });
  }

  /** Leave for a worker, or a client, to put `file` to the manager. */
  put(file: TicketFile, from: string): string {
    return issueTicket(this.managerKey, {
      ...factsOf(file),
      source: from,
      destination: this.#managerId,
      method: "PUT",
      expiresAtMs: Date.now() + TICKET_MS,
    });
  }

  #keyOf(owner: string): Uint8Array {
    return new Uint8Array(createHmac("sha256", this.#secret).update(owner).digest());
  }
}

function factsOf(file: TicketFile): TicketFile {
  const { name, generation, sizeBytes, digest } = file;
  return { name, generation, sizeBytes, digest };
}
