/**
 * Where a worker's peer server listens and under which addresses peers find it.
 *
 * A manager that only this host can reach has all its workers here, so loopback is enough, in
 * plain. Any other one has workers elsewhere: then it listens on every address, and speaks TLS
 * unless the manager, or this worker, was told to do without.
 *
 * @module
 */

import { isIP } from "node:net";

import { hostAddresses } from "../shared/addresses.ts";

/** What the command line says of the peer server. */
export interface PeerDoorOptions {
  /** Absent: as the manager wants it. */
  readonly listen?: { readonly hostname: string; readonly port: number };
  /** Hosts to publish before all others. */
  readonly advertise: readonly string[];
  /** Plain HTTP, wherever it listens. */
  readonly isInsecure: boolean;
}

/** How to open a peer server. */
export interface PeerDoor {
  /** Address to listen on. */
  readonly hostname: string;
  /** 0: the kernel chooses. */
  readonly port: number;
  readonly isSecure: boolean;
  /** Names and addresses of this host to publish, best first. */
  readonly hosts: readonly string[];
}

const LOOPBACK = "127.0.0.1";
const EVERY_ADDRESS = "0.0.0.0";
const EVERY_ADDRESS_6 = "::";

/** The door for the workers of a manager that is known under `managerUrls`. */
export function peerDoor(managerUrls: readonly string[], options: PeerDoorOptions): PeerDoor {
  const { listen, advertise, isInsecure } = options;
  const places = managerUrls.filter((url) => URL.canParse(url)).map((url) => new URL(url));
  const isPlain = ({ protocol }: URL) => protocol === "http:";
  const isLocal = places.length > 0 &&
    places.every((place) => isPlain(place) && isLoopback(place.hostname));
  // A manager that is reached in plain from elsewhere was told to be.
  const isManagerInsecure = places.some((place) => isPlain(place) && !isLoopback(place.hostname));
  const addresses = hostAddresses();
  const hostname = listen?.hostname ?? (isLocal ? LOOPBACK : everyAddress(addresses));
  const isSecure = !isInsecure && !isManagerInsecure && !isLoopback(hostname);
  const own = hostname === EVERY_ADDRESS
    ? addresses.filter((address) => isIP(address) === 4)
    : hostname === EVERY_ADDRESS_6
    ? addresses
    : [hostname];
  const hosts = [...new Set([...advertise, ...own])];
  return { hostname, port: listen?.port ?? 0, isSecure, hosts };
}

/** The base url of a server at `host`. */
export function baseUrl(
  host: string,
  { port, isSecure }: { readonly port: number; readonly isSecure: boolean },
): string {
  return `${isSecure ? "https" : "http"}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** True for a host, as it stands in a url or not, that is this one for everybody. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" ||
    (isIP(host) === 4 && host.startsWith("127."));
}

function everyAddress(addresses: readonly string[]): string {
  return addresses.some((address) => isIP(address) === 4) ? EVERY_ADDRESS : EVERY_ADDRESS_6;
}
