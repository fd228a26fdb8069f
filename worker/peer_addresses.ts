/** Which address of each peer worked last, so that no transfer looks for it anew. */

import type { WorkerId } from "../shared/ids.ts";

/** Peers remembered; the one met longest ago is forgotten. */
const PEERS_MAX = 1024;

/** What this worker has learnt of the ways to its peers. */
export class PeerAddresses {
  /** `{peer: base url that worked last}`, least lately used first. */
  readonly #worked: Map<WorkerId, string> = new Map();

  /** `urls`, with the one that worked last in front. */
  sort(peer: WorkerId, urls: readonly string[]): readonly string[] {
    const best = this.#worked.get(peer);
    if (best === undefined || !urls.includes(best)) return urls;
    return [best, ...urls.filter((url) => url !== best)];
  }

  /** `url` is how `peer` answers. */
  remember(peer: WorkerId, url: string): void {
    this.#worked.delete(peer);
    this.#worked.set(peer, url);
    const [oldest] = this.#worked.keys();
    if (oldest !== undefined && this.#worked.size > PEERS_MAX) this.#worked.delete(oldest);
  }
}
