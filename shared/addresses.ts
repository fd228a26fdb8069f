/** The addresses of this host under which others can reach it. */

import { isIP } from "node:net";
import { networkInterfaces } from "node:os";

/** Addresses of this host that mean it elsewhere too, IPv4 first; loopback when it has no other. */
export function hostAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !/^(169\.254\.|fe80:)/i.test(address))
    .map(({ address }) => address);
  if (addresses.length === 0) return ["127.0.0.1"];
  return addresses.toSorted((a, b) => isIP(a) - isIP(b));
}
