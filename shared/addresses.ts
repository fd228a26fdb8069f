/**
 * Where a server of ours can be reached from other hosts: what it listens on, and under which
 * addresses it says so. A compute node has several networks, and which of them another host can
 * use is found out by trying: so all of them are published, the likely ones first.
 *
 * @module
 */

import { isIP } from "node:net";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";

/** An address or a host name, without brackets, with a port if one was stated. */
export interface HostPort {
  readonly host: string;
  readonly port?: number;
}

/** What is published of a server. */
export interface PublishOptions {
  readonly scheme: "http" | "https";
  /** Listened on: an address, a host name, or a wildcard. */
  readonly host: string;
  readonly port: number;
  /** Published first; without a port, with the one listened on. */
  readonly advertise: readonly HostPort[];
  /** Of this host; default `hostAddresses()`. */
  readonly addresses?: readonly string[];
}

/** Listens on all addresses of IPv4. */
export const ANY_IPV4 = "0.0.0.0";

/** Listens on all addresses: Linux has an IPv6 socket take IPv4 too. */
export const ANY = "::";

const LOOPBACKS: readonly string[] = ["127.0.0.1", "::1", "localhost"];

/** Interfaces of containers, virtual machines and tunnels: other hosts seldom reach those. */
const VIRTUAL_INTERFACE =
  /^(docker|br-|veth|virbr|vmnet|vboxnet|cni|flannel|cali|podman|lxc|tun|tap|wg|tailscale|zt|utun)/;

/** Addresses of this link alone, which say nothing without a zone: RFC 3927, RFC 4291. */
const LINK_LOCAL = /^(169\.254\.|fe[89ab][0-9a-f]:)/i;

const HOST_PORT = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/;

const HOST_NAME = /^(?=.{1,253}$)[\w-]{1,63}(\.[\w-]{1,63})*$/;

/** Addresses of this host that others may reach, the likely ones first; none is loopback. */
export function hostAddresses(
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces(),
): string[] {
  const found: { address: string; rank: number }[] = [];
  for (const [name, infos = []] of Object.entries(interfaces)) {
    for (const { address, internal, family } of infos) {
      if (internal || LINK_LOCAL.test(address)) continue;
      const rank = (VIRTUAL_INTERFACE.test(name) ? 2 : 0) + (family === "IPv4" ? 0 : 1);
      found.push({ address, rank });
    }
  }
  // The system's order among equals.
  return found.sort((a, b) => a.rank - b.rank).map(({ address }) => address);
}

/** Base urls of a server, best first; of one that listens everywhere, loopback comes last. */
export function publishedUrls(options: PublishOptions): string[] {
  const { scheme, host, port, advertise, addresses = hostAddresses() } = options;
  const hosts = isWildcard(host) ? everywhere(host, addresses) : [host];
  const all = [...advertise, ...hosts.map((host) => ({ host, port }))];
  const urls = all.map((at) => `${scheme}://${bracketed(at.host)}:${at.port ?? port}`);
  return [...new Set(urls)];
}

/** `urls` with those of loopback first: for whoever is on the same host. */
export function loopbackFirst(urls: readonly string[]): string[] {
  const isNear = (url: string): boolean => isLoopback(hostOf(url));
  return [...urls.filter(isNear), ...urls.filter((url) => !isNear(url))];
}

/** The hosts of urls, without brackets: what a certificate of their server has to name. */
export function hostsOf(urls: readonly string[]): string[] {
  return [...new Set(urls.map(hostOf))];
}

/** True for a server that only this host can reach. */
export function isLoopback(host: string): boolean {
  return LOOPBACKS.includes(host.toLowerCase()) || /^127(\.\d{1,3}){3}$/.test(host);
}

/** True for a server that listens on every address. */
export function isWildcard(host: string): boolean {
  return host === ANY || host === ANY_IPV4;
}

/**
 * Reads `HOST:PORT`, `HOST`, `[ADDRESS]:PORT` or `:PORT`; the host is "" when none is stated.
 *
 * @returns Undefined when it is none of these.
 */
export function parseHostPort(text: string): HostPort | undefined {
  const match = HOST_PORT.exec(text);
  if (match === null) return undefined;
  const [, address, name = "", port] = match;
  if (address !== undefined && isIP(address) !== 6) return undefined;
  const host = address ?? name;
  if (host !== "" && isIP(host) === 0 && !HOST_NAME.test(host)) return undefined;
  if (port === undefined) return { host };
  return Number(port) <= 65_535 ? { host, port: Number(port) } : undefined;
}

/**
 * True when a request that names `host` (of its Host header) is for this server and not for a name
 * that somebody has pointed at it. An address cannot be made to point elsewhere, a name can: only
 * those that the server goes by are taken. `names` are lower case.
 */
export function isOwnHost(header: string | undefined, names: ReadonlySet<string>): boolean {
  const host = header === undefined ? undefined : parseHostPort(header)?.host.toLowerCase();
  if (host === undefined || host === "") return false;
  return isIP(host) > 0 || host === "localhost" || names.has(host);
}

function everywhere(host: string, addresses: readonly string[]): string[] {
  if (host === ANY_IPV4) {
    return [...addresses.filter((address) => isIP(address) === 4), "127.0.0.1"];
  }
  return [...addresses, "127.0.0.1", "::1"];
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}
