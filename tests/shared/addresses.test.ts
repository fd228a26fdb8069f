/** Addresses: which are published in which order, and which names a server goes by. */

import type { NetworkInterfaceInfo } from "node:os";

import { expect, test } from "bun:test";

import {
  anyAddress,
  formatHostPort,
  hostAddresses,
  hostNames,
  hostsOf,
  isLoopback,
  isOwnHost,
  loopbackFirst,
  parseHostPort,
  publishedUrls,
} from "../../shared/addresses.ts";

function info(address: string, internal: boolean = false): NetworkInterfaceInfo {
  const family = address.includes(":") ? "IPv6" : "IPv4";
  return { address, internal, family, netmask: "", mac: "", cidr: null } as NetworkInterfaceInfo;
}

const INTERFACES = {
  lo: [info("127.0.0.1", true), info("::1", true)],
  docker0: [info("172.17.0.1")],
  eth0: [info("fe80::1"), info("fd00::2"), info("192.0.2.2")],
  ib0: [info("10.1.0.7"), info("169.254.3.4")],
};

test("hostAddresses() puts what other hosts likely reach first and leaves out what none does", () => {
  expect(hostAddresses(INTERFACES)).toEqual(["192.0.2.2", "10.1.0.7", "fd00::2", "172.17.0.1"]);
});

test("publishedUrls() lists what is advertised, then all addresses, then loopback", () => {
  const addresses = ["192.0.2.2", "fd00::2"];
  const advertise = [{ host: "head.cluster" }, { host: "gate", port: 80 }];
  const of = (host: string) =>
    publishedUrls({ scheme: "https", host, port: 9123, advertise, addresses });
  const advertised = ["https://head.cluster:9123", "https://gate:80"];
  expect(of("::")).toEqual([
    ...advertised,
    "https://192.0.2.2:9123",
    "https://[fd00::2]:9123",
    "https://127.0.0.1:9123",
    "https://[::1]:9123",
  ]);
  expect(of("0.0.0.0")).toEqual([
    ...advertised,
    "https://192.0.2.2:9123",
    "https://127.0.0.1:9123",
  ]);
  expect(of("192.0.2.2")).toEqual([...advertised, "https://192.0.2.2:9123"]);
  const named = publishedUrls({
    scheme: "http",
    host: "0.0.0.0",
    port: 1,
    advertise: [],
    addresses,
    names: ["node7"],
  });
  expect(named).toEqual(["http://192.0.2.2:1", "http://node7:1", "http://127.0.0.1:1"]);
});

test("hostNames() gives the name of a host that leads to one of its addresses, and no other", async () => {
  expect(await hostNames(["127.0.0.1", "::1"], "LocalHost")).toEqual(["localhost"]);
  expect(await hostNames(["192.0.2.2"], "localhost")).toEqual([]);
  for (const none of ["name.invalid", "127.0.0.1", "", "a b"]) {
    expect(await hostNames(["127.0.0.1"], none)).toEqual([]);
  }
});

test("anyAddress() listens on IPv6 only where there is any", () => {
  expect(anyAddress(INTERFACES)).toBe("::");
  expect(anyAddress({ lo: [info("127.0.0.1", true)], eth0: [info("192.0.2.2")] })).toBe("0.0.0.0");
});

test("publishedUrls() names no url twice", () => {
  const advertise = [{ host: "192.0.2.2" }];
  const urls = publishedUrls({ scheme: "http", host: "192.0.2.2", port: 1, advertise });
  expect(urls).toEqual(["http://192.0.2.2:1"]);
});

test("loopbackFirst() and hostsOf() know hosts by their addresses", () => {
  const urls = ["https://192.0.2.2:1", "https://127.0.0.1:1", "https://[::1]:1"];
  expect(loopbackFirst(urls)).toEqual([urls[1], urls[2], urls[0]] as string[]);
  expect(hostsOf(urls)).toEqual(["192.0.2.2", "127.0.0.1", "::1"]);
  expect(isLoopback("127.1.2.3")).toBe(true);
  expect(isLoopback("127.0.0.1.example")).toBe(false);
});

test("parseHostPort() takes hosts, addresses and ports, and nothing that is more", () => {
  expect(parseHostPort("a.b:80")).toEqual({ host: "a.b", port: 80 });
  expect(parseHostPort("[::1]:0")).toEqual({ host: "::1", port: 0 });
  expect(parseHostPort(":7")).toEqual({ host: "", port: 7 });
  // What a resolver takes for an address is that address.
  expect(parseHostPort("0:80")).toEqual({ host: "0.0.0.0", port: 80 });
  expect(parseHostPort("127.1")).toEqual({ host: "127.0.0.1" });
  expect(parseHostPort("[0:0:0:0:0:0:0:0]:1")).toEqual({ host: "::", port: 1 });
  expect(parseHostPort("Node_7.Cluster")).toEqual({ host: "node_7.cluster" });
  expect(formatHostPort("::", 1)).toBe("[::]:1");
  for (
    const wrong of [
      "1.2.3.999",
      "[fe80::1%eth0]:1",
      "::1",
      "a:b",
      "a:70000",
      "http://a",
      "[a]:1",
      "a b",
      "a/b:1",
      "[::1",
    ]
  ) {
    expect(parseHostPort(wrong)).toBeUndefined();
  }
});

test("isOwnHost() takes addresses and own names, and no other name", () => {
  const names = new Set(["head.cluster"]);
  for (const own of ["127.0.0.1:9", "[::1]:9", "192.0.2.2", "LOCALHOST:1", "Head.Cluster:80"]) {
    expect(isOwnHost(own, names)).toBe(true);
  }
  for (const other of ["evil.example:9", "localhost.evil.example", "127.0.0.1.evil", "", " "]) {
    expect(isOwnHost(other, names)).toBe(false);
  }
  expect(isOwnHost(undefined, names)).toBe(false);
});
