/** The dashboard of one manager: who may use it, and what it is given to show. */

import type { Secrets } from "../shared/handshake.ts";
import type { Ask } from "./dashboard/ask_desk.ts";
import type { DashboardOptions } from "./dashboard/routes.ts";
import { type Right, Sessions } from "./dashboard/session.ts";
import { LiveOutputs, type LiveOutputsOptions } from "./live_output.ts";
import { runningManager, type RunningManagerOptions } from "./running_manager.ts";

/** What it is made of. */
export interface ManagerDashboardOptions
  extends Omit<RunningManagerOptions, "outputs">, Omit<LiveOutputsOptions, "catalog"> {
  readonly ask: Ask;
  readonly secrets: Secrets;
}

/** Owner of the sessions, and of what is looked at for them. */
export class ManagerDashboard {
  /** What the server needs to serve it. */
  readonly routes: Omit<DashboardOptions, "isSecure" | "refuse">;
  readonly #sessions: Sessions;
  readonly #outputs: LiveOutputs;
  readonly #closing: AbortController = new AbortController();

  constructor(options: ManagerDashboardOptions) {
    this.#sessions = new Sessions(options);
    this.#outputs = new LiveOutputs(options);
    this.routes = {
      sessions: this.#sessions,
      ask: options.ask,
      running: runningManager({ ...options, outputs: this.#outputs }),
      closing: this.#closing.signal,
    };
  }

  /** What follows the manager's url in a link that opens the dashboard once, with that right. */
  newFragment(right: Right): string {
    return `#token=${this.#sessions.newToken(right)}`;
  }

  /** Lets those go who look on. */
  close(): void {
    this.#closing.abort();
    this.#outputs.close();
  }
}
