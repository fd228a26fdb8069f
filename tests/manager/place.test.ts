/** Where a manager says that it is, and what it is known by. */

import { afterAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { type ManagerOptions, readManagerOptions } from "../../manager/config.ts";
import { findPlace, type Place } from "../../manager/place.ts";
import { hostAddresses, hostsOf } from "../../shared/addresses.ts";
import { namesHost, newCertificate } from "../../shared/certificate.ts";
import { StandardError } from "../standard_error.ts";

const folder = mkdtempSync(join(tmpdir(), "tendril-place-"));

afterAll(() => rmSync(folder, { recursive: true }));

function placeOf(options: ManagerOptions): Promise<Place> {
  return findPlace(readManagerOptions(options));
}

test("findPlace() leaves loopback in plain, and encrypts what others can reach", async () => {
  for (const listen of ["127.0.0.1:0", "[::1]:0", "localhost", "127.1:0", "[0:0::1]:7"]) {
    const place = await placeOf({ listen });
    expect([listen, place.tls, place.urls(7)[0]?.slice(0, 5)]).toEqual([
      listen,
      undefined,
      "http:",
    ]);
  }
  for (const listen of ["0.0.0.0:0", "0:0", ":0", "192.0.2.9:0", "[fd00::9]:0", "node7:0"]) {
    const place = await placeOf({ listen });
    const urls = place.urls(7);
    expect([listen, place.tls !== undefined]).toEqual([listen, true]);
    expect(urls.filter((url) => !/^https:.*:7$/.test(url))).toEqual([]);
    const certificate = new X509Certificate(place.tls!.certificate);
    expect(hostsOf(urls).filter((host) => !namesHost(certificate, host))).toEqual([]);
  }
});

test("findPlace() publishes what is advertised, all addresses, and loopback last", async () => {
  const place = await placeOf({ listen: ":0", advertise: ["head.cluster", "gate:80"] });
  const urls = place.urls(9123);
  expect(urls.slice(0, 2)).toEqual(["https://head.cluster:9123", "https://gate:80"]);
  for (const address of hostAddresses()) expect(hostsOf(urls)).toContain(address);
  expect(hostsOf(urls)).toContain("127.0.0.1");
  expect(["127.0.0.1", "::1"]).toContain(hostsOf(urls).at(-1)!);
  expect(place.names).toContain("head.cluster");
  // Others come by a tunnel, whose ends may be anywhere.
  expect((await placeOf({ advertise: "gate" })).urls(1)).toEqual([
    "https://gate:1",
    "https://127.0.0.1:1",
  ]);
  expect((await placeOf({ listen: "192.0.2.9:0" })).urls(1)).toEqual(["https://192.0.2.9:1"]);
});

test("findPlace() does as it is told by insecure, and by tls on loopback too", async () => {
  using told = new StandardError();
  expect((await placeOf({ listen: "192.0.2.9", insecure: true })).urls(1)).toEqual([
    "http://192.0.2.9:1",
  ]);
  expect(told.text).toMatch(/^tendril: warning: connections are not encrypted: [^\n]+\n$/);
  // On loopback there is nothing to warn of.
  expect((await placeOf({ insecure: true })).urls(1)).toEqual(["http://127.0.0.1:1"]);
  expect(told.text.match(/\n/g)).toHaveLength(1);
  const { certificate, key } = await newCertificate([]);
  const [certPath, keyPath] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  writeFileSync(certPath, certificate);
  writeFileSync(keyPath, key);
  for (const tls of [{ cert: certificate, key }, { cert: certPath, key: keyPath }]) {
    const place = await placeOf({ tls });
    expect(place.tls).toEqual({ certificate, key });
    expect(place.urls(1)).toEqual(["https://127.0.0.1:1"]);
  }
});

test("findPlace() publishes only what the user's certificate names", async () => {
  const { certificate: cert, key } = await newCertificate(["head.cluster"]);
  const tls = { cert, key };
  const place = await placeOf({ listen: "192.0.2.9:0", advertise: ["head.cluster", "gate"], tls });
  expect(place.urls(1)).toEqual(["https://head.cluster:1"]);
  await expect(placeOf({ listen: "192.0.2.9:0", tls })).rejects.toThrow(
    /^Cannot use the certificate .* for DNS:head.cluster.* and none of 192.0.2.9; .* --advertise$/,
  );
});
