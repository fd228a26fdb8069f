/**
 * Where a worker's peer server listens, and what it says of where it is.
 *
 * A manager that only its own host can reach has all its workers there, so loopback is enough, in
 * plain. Any other one has workers elsewhere: then it listens on every address, and speaks TLS
 * unless the manager, or this worker, was told to do without.
 *
 * @module
 */

import {
  ANY,
  anyAddress,
  type HostPort,
  hostsOf,
  isLoopback,
  publishedUrls,
} from "../shared/addresses.ts";

/** What the command line says of the peer server. */
export interface PeerDoorOptions {
  /** Absent: as the manager wants it. */
  readonly listen?: HostPort;
  /** Published before all addresses of this host. */
  readonly advertise: readonly HostPort[];
  /** Plain HTTP, wherever it listens. */
  readonly isInsecure: boolean;
}

/** How to open a peer server. */
export interface PeerDoor {
  /** Address to listen on. */
  readonly host: string;
  /** 0: the kernel chooses. */
  readonly port: number;
  readonly isSecure: boolean;
  readonly advertise: readonly HostPort[];
}

const LOOPBACK = "127.0.0.1";

/** The door for the workers of a manager that is known under `managerUrls`. */
export function peerDoor(managerUrls: readonly string[], options: PeerDoorOptions): PeerDoor {
  const { listen, advertise, isInsecure } = options;
  const managerHosts = hostsOf(managerUrls);
  const isNear = managerHosts.length > 0 && managerHosts.every(isLoopback);
  // A manager that is reached in plain from elsewhere was told to be.
  const isPlain = managerUrls.every((url) => url.startsWith("http:"));
  const wanted = listen?.host ?? (isNear ? LOOPBACK : ANY);
  const host = wanted === ANY ? anyAddress() : wanted;
  const isNeeded = ![host, ...advertise.map((at) => at.host)].every(isLoopback);
  const isSecure = !isInsecure && (isPlain ? isNear && isNeeded : true);
  return { host, port: listen?.port ?? 0, isSecure, advertise };
}

/** The base urls of a server behind `door` that listens on `port`, best first. */
export function doorUrls(
  { host, isSecure, advertise }: PeerDoor,
  port: number,
): readonly string[] {
  const urls = publishedUrls({ scheme: isSecure ? "https" : "http", host, port, advertise });
  // Loopback is another server at each host; one peer on this host can take any address.
  const outer = urls.filter((url) => !hostsOf([url]).every(isLoopback));
  return outer.length === 0 ? urls : outer;
}
