/** Where a manager listens, how it can be reached, and by which certificate it is known. */

import { X509Certificate } from "node:crypto";
import process from "node:process";

import {
  ANY,
  anyAddress,
  hostAddresses,
  hostNames,
  hostsOf,
  isLoopback,
  isWildcard,
  publishedUrls,
} from "../shared/addresses.ts";
import { type KeyPair, namesHost, newCertificate } from "../shared/certificate.ts";
import type { ManagerConfig } from "./config.ts";

/** What is settled before the manager listens, but for a port that the kernel chooses. */
export interface Place {
  /** To listen on. */
  readonly host: string;
  /** 0: the kernel chooses. */
  readonly port: number;
  /** Absent when connections are not encrypted. */
  readonly tls?: KeyPair;
  /** Names, besides addresses and `localhost`, by which it may be asked. */
  readonly names: readonly string[];
  /** Base urls of the server, when it listens on `port`, best first. */
  readonly urls: (port: number) => readonly string[];
}

/** What of the options says where. */
export type PlaceConfig = Pick<ManagerConfig, "host" | "port" | "advertise" | "isInsecure" | "tls">;

/**
 * Settles where a manager listens; encrypts by itself what other hosts can reach.
 *
 * @throws {RangeError} When the user's certificate names nothing under which it can be reached.
 */
export async function findPlace(config: PlaceConfig): Promise<Place> {
  const { port, advertise } = config;
  const host = config.host === ANY ? anyAddress() : config.host;
  // Once: an address that comes later is not in the certificate.
  const addresses = hostAddresses();
  const names = isWildcard(host) ? await hostNames(addresses) : [];
  const isNear = [host, ...advertise.map((at) => at.host)].every(isLoopback);
  const isSecure = config.tls !== undefined || !(isNear || config.isInsecure);
  const scheme = isSecure ? "https" : "http";
  const allUrls = (port: number): readonly string[] =>
    publishedUrls({ scheme, host, port, advertise, addresses, names });
  if (!isSecure && !isNear) {
    process.stderr.write(
      "tendril: warning: connections are not encrypted: whoever sees them can read all data\n",
    );
  }
  const own = config.tls;
  const tls = isSecure ? own ?? await newCertificate(hostsOf(allUrls(0))) : undefined;
  const urls = own === undefined
    ? allUrls
    : (port: number) => certifiedUrls(allUrls(port), own.certificate);
  return {
    host,
    port,
    ...(tls === undefined ? {} : { tls }),
    names: [host, ...hostsOf(urls(0))].filter((name) => !isWildcard(name)),
    urls,
  };
}

/** Those of `urls` that the certificate names: nobody takes it for the server of another one. */
function certifiedUrls(urls: readonly string[], certificate: string): readonly string[] {
  const own = new X509Certificate(certificate);
  const certified = urls.filter((url) => hostsOf([url]).every((host) => namesHost(own, host)));
  if (certified.length > 0) return certified;
  throw new RangeError(
    `Cannot use the certificate as this manager's: it is for ${own.subjectAltName}, ` +
      `and none of ${hostsOf(urls).join(", ")}; state one of its names with --advertise`,
  );
}
