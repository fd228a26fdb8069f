/**
 * Where a server of ours can be reached from other hosts: what it listens on, and under which
 * addresses it says so. A compute node has several networks, and which of them another host can
 * use is found out by trying: so all of them are published, the likely ones first.
 *
 * @module
 */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { hostname, type NetworkInterfaceInfo, networkInterfaces } from "node:os";

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
  /** Of this host, published after its addresses; default none. */
  readonly names?: readonly string[];
}

/** Listens on all addresses of IPv4. */
export const ANY_IPV4 = "0.0.0.0";

/** Listens on all addresses: Linux has an IPv6 socket take IPv4 too. */
export const ANY = "::";

/** A resolver may take many seconds to find nothing; a name is only one more way to come. */
const LOOKUP_MS_MAX = 1000;

const LOOPBACKS: readonly string[] = ["127.0.0.1", "::1", "localhost"];

/** Interfaces of containers, virtual machines and tunnels: other hosts seldom reach those. */
const VIRTUAL_INTERFACE =
  /^(docker|br-|veth|virbr|vmnet|vboxnet|cni|flannel|cali|podman|lxc|tun|tap|wg|tailscale|zt|utun)/;

/** Addresses of this link alone, which say nothing without a zone: RFC 3927, RFC 4291. */
const LINK_LOCAL = /^(169\.254\.|fe[89ab][0-9a-f]:)/i;

const HOST_PORT = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/;

/** RFC 1123 section 2.1 and RFC 1035 section 2.3.4; underscores are met in clusters. */
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

/** What listens on all addresses here: a host without IPv6 has no socket for `ANY`. */
export function anyAddress(
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces(),
): string {
  const infos = Object.values(interfaces).flatMap((infos = []) => infos);
  return infos.some(({ family }) => family === "IPv6") ? ANY : ANY_IPV4;
}

/**
 * The name of this host, if it leads to one of `addresses`: on another network it may lead to
 * another one. It may also be that of loopback, which says nothing to others.
 */
export async function hostNames(
  addresses: readonly string[],
  name: string = hostname(),
): Promise<string[]> {
  const host = parseHostPort(name)?.host;
  if (host === undefined || host === "" || isIP(host) > 0) return [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<[]>((resolve) => {
    timer = setTimeout(() => resolve([]), LOOKUP_MS_MAX);
  });
  // A name that leads nowhere is not published.
  const found = lookup(host, { all: true }).catch(() => []);
  const leadsHere = (await Promise.race([found, timeout]))
    .some(({ address }) => addresses.includes(address));
  clearTimeout(timer);
  return leadsHere ? [host] : [];
}

/** Base urls of a server, best first; of one that listens everywhere, loopback comes last. */
export function publishedUrls(options: PublishOptions): string[] {
  const { scheme, host, port, advertise } = options;
  const hosts = isWildcard(host) ? everywhere(options) : [host];
  const all = [...advertise, ...hosts.map((host) => ({ host, port }))];
  const urls = all.map((at) => `${scheme}://${formatHostPort(at.host, at.port ?? port)}`);
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
  const host = name === "" && address === undefined ? "" : canonicalHost(address ?? name);
  if (host === undefined) return undefined;
  if (port === undefined) return { host };
  return Number(port) <= 65_535 ? { host, port: Number(port) } : undefined;
}

/** Where to listen, as people write it: all addresses of this machine when no host is stated. */
export function parseListen(text: string): HostPort | undefined {
  const at = parseHostPort(text);
  if (at?.host === "") return { ...at, host: ANY };
  // Not whatever else a resolver takes it for.
  return at?.host === "localhost" ? { ...at, host: "127.0.0.1" } : at;
}

/** What others are told to come to: undefined too for what leads to no host in particular. */
export function parseAdvertised(text: string): HostPort | undefined {
  const at = parseHostPort(text);
  return at === undefined || at.host === "" || isWildcard(at.host) ? undefined : at;
}

/** True of what DNS takes for the name of a host. */
export function isHostName(text: string): boolean {
  return HOST_NAME.test(text);
}

/** An address of IPv6 stands in brackets in a url. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** `HOST:PORT`, with brackets around an address of IPv6. */
export function formatHostPort(host: string, port: number): string {
  return `${bracketed(host)}:${port}`;
}

/**
 * True when a request that names `host` (of its Host header) is for this server and not for a name
 * that somebody has pointed at it. An address cannot be made to point elsewhere, a name can: only
 * those that the server goes by are taken. `names` are lower case.
 */
export function isOwnHost(header: string | undefined, names: ReadonlySet<string>): boolean {
  const host = header === undefined ? undefined : parseHostPort(header)?.host;
  if (host === undefined || host === "") return false;
  return isIP(host) > 0 || host === "localhost" || names.has(host);
}

function everywhere({ host, addresses = hostAddresses(), names = [] }: PublishOptions): string[] {
  if (host === ANY) return [...addresses, ...names, "127.0.0.1", "::1"];
  return [...addresses.filter((address) => isIP(address) === 4), ...names, "127.0.0.1"];
}

/** As urls have it: `0` is 0.0.0.0 to a resolver, `127.1` is loopback, names are lower case. */
function canonicalHost(host: string): string | undefined {
  if (isIP(host) === 0 && !isHostName(host)) return undefined;
  const url = `http://${bracketed(host)}`;
  return URL.canParse(url) ? hostOf(url) : undefined;
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

function hostOf(url: string): string {
  return withoutBrackets(new URL(url).hostname);
}
