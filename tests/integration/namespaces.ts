/**
 * Hosts of a test's own: network namespaces (`man 8 ip-netns`), joined by the bridges of a switch,
 * which is one more of them. Nothing is made in the namespace of the machine itself, so that whatever
 * happens, removing the namespaces removes it all.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";

/** A network with a mask, as `10.1.0.0/24` has 24 bits. */
const MASK_BITS = 24;

/** Names are `tendril-PID-COUNT-HOST`: those of a test that was killed are known by its process. */
const NAME_PATTERN = /^tendril-(\d+)-\d+-[a-z0-9]+$/;

const ARP_IGNORE = "/proc/sys/net/ipv4/conf/all/arp_ignore";

/** Not every PATH has the folders of root's programs. */
const TC: string = ["/usr/sbin/tc", "/sbin/tc"].find((path) => existsSync(path)) ?? "tc";

let networkCount = 0;

/** One host. */
export interface Host {
  /** Of its namespace. */
  readonly name: string;
  /** Its addresses in the networks that it is on, in order; without loopback. */
  readonly addresses: readonly string[];
  /** What a command is put behind to run there. */
  readonly prefix: readonly string[];
  /** Where its cards, `eth0` and so on, end at the switch. */
  readonly ports: readonly Port[];
}

/** One end of a link. */
interface Port {
  readonly name: string;
  readonly bridge: string;
}

/** Why namespaces cannot be made here; undefined when they can. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== "linux") return "there are network namespaces on Linux only";
  if (process.getuid?.() !== 0) return "only root may make network namespaces";
  try {
    removeNetworks((processId) => !isAlive(processId));
    const probe = `tendril-${process.pid}-0-probe`;
    ip("netns", "add", probe);
    ip("netns", "del", probe);
    return undefined;
  } catch (error) {
    return `network namespaces cannot be made: ${error instanceof Error ? error.message : error}`;
  }
}

/** Owner of hosts that see each other and nothing else. */
export class Network implements Disposable {
  readonly #prefix: string;
  readonly #switch: string;
  readonly #hosts: Host[] = [];
  /** Networks that have their bridge. */
  readonly #networks: Set<number> = new Set();

  constructor() {
    networkCount += 1;
    this.#prefix = `tendril-${process.pid}-${networkCount}`;
    this.#switch = `${this.#prefix}-switch`;
    ip("netns", "add", this.#switch);
  }

  /**
   * A host on the networks of those numbers: on network 3 the second host has the address
   * `10.99.3.2` at its card `eth0`, if that network is its first. It reaches the others on the same
   * network, and nobody else: to the rest it has no route.
   */
  host(name: string, networks: readonly number[] = [1]): Host {
    const namespace = `${this.#prefix}-${name}`;
    const number = this.#hosts.length + 1;
    ip("netns", "add", namespace);
    this.#in(namespace, "link", "set", "lo", "up");
    // Else a host answers at each card for the addresses of the others (arp_ignore of ip-sysctl).
    ip("netns", "exec", namespace, "sh", "-c", `echo 1 >${ARP_IGNORE}`);
    const ports: Port[] = [];
    const addresses = networks.map((network, index) => {
      this.#addBridge(network);
      const address = `10.99.${network}.${number}`;
      const [card, port] = [`eth${index}`, `port${number}x${index}`];
      this.#in(
        namespace,
        ...["link", "add", card, "type", "veth", "peer", "name", port, "netns", this.#switch],
      );
      const bridge = `bridge${network}`;
      this.#in(this.#switch, "link", "set", port, "master", bridge, "up");
      ports.push({ name: port, bridge });
      this.#in(namespace, "addr", "add", `${address}/${MASK_BITS}`, "dev", card);
      this.#in(namespace, "link", "set", card, "up");
      return address;
    });
    const prefix = ["ip", "netns", "exec", namespace];
    const host = { name: namespace, addresses, prefix, ports };
    this.#hosts.push(host);
    return host;
  }

  /**
   * Has `host` look for the network of that number at its first card, where it is not: what it sends
   * there is lost, and it hears so seconds later, as behind a firewall.
   */
  mislead(host: Host, network: number): void {
    this.#in(host.name, "route", "add", `10.99.${network}.0/${MASK_BITS}`, "dev", "eth0");
  }

  /** Has that card of `host` send and receive that many bits a second (token buckets: tc-tbf). */
  slow(host: Host, card: number, bitsPerSecond: number): void {
    const ends = [[host.name, `eth${card}`], [this.#switch, portOf(host, card).name]] as const;
    for (const [namespace, device] of ends) {
      const limits = ["rate", `${bitsPerSecond}bit`, "burst", "64kbit", "latency", "100ms"];
      const args = ["qdisc", "replace", "dev", device, "root", "tbf", ...limits];
      execFileSync(TC, ["-n", namespace, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    }
  }

  /** Loses whatever goes over that card of `host`, without a word to either side. */
  cut(host: Host, card: number): void {
    this.#in(this.#switch, "link", "set", portOf(host, card).name, "nomaster");
  }

  /** Undoes `cut`. */
  heal(host: Host, card: number): void {
    const { name, bridge } = portOf(host, card);
    this.#in(this.#switch, "link", "set", name, "master", bridge);
  }

  [Symbol.dispose](): void {
    for (const { name } of this.#hosts) removeNamespace(name);
    removeNamespace(this.#switch);
  }

  #addBridge(network: number): void {
    if (this.#networks.has(network)) return;
    this.#networks.add(network);
    this.#in(this.#switch, "link", "add", `bridge${network}`, "type", "bridge");
    this.#in(this.#switch, "link", "set", `bridge${network}`, "up");
  }

  #in(namespace: string, ...args: readonly string[]): void {
    ip("-n", namespace, ...args);
  }
}

function portOf({ name, ports }: Host, card: number): Port {
  const port = ports[card];
  if (port === undefined) throw new RangeError(`Host "${name}" has no card ${card}`);
  return port;
}

function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Removes the namespaces of the tests whose process is none that may go on. */
function removeNetworks(isOver: (processId: number) => boolean): void {
  for (const line of ip("netns", "list").split("\n")) {
    const [name = ""] = line.split(" ");
    const processId = NAME_PATTERN.exec(name)?.[1];
    if (processId !== undefined && isOver(Number(processId))) removeNamespace(name);
  }
}

/** Ends what runs there, which may not outlive it, and removes it. */
function removeNamespace(name: string): void {
  for (const processId of ip("netns", "pids", name).split("\n")) {
    try {
      if (processId !== "") process.kill(Number(processId), "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
  ip("netns", "del", name);
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
