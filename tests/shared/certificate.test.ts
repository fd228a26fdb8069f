import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";

import {
  checkOwnCertificate,
  type KeyPair,
  namesHost,
  newCertificate,
  readChain,
} from "../../shared/certificate.ts";
import { CERTIFICATE_CHARS_MAX } from "../../shared/protocol.ts";
import { newAuthority } from "./authority.ts";

const YEAR_MS = 365 * 24 * 60 * 60 * 1000;

function ownFailure(pair: KeyPair): string {
  try {
    checkOwnCertificate(pair);
    return "accepted";
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return (error as RangeError).message.replace("Cannot use the certificate as a server's: ", "");
  }
}

test("newCertificate() names the hosts given and this one, and is no authority", async () => {
  const names = ["10.0.0.7", "node7.cluster", "[2001:db8::7]", "10.0.0.7"];
  const { certificate } = await newCertificate(names);
  const made = new X509Certificate(certificate);
  expect(made.subjectAltName?.match(/DNS/g)).toHaveLength(2);
  expect(made.subjectAltName?.match(/IP/g)).toHaveLength(4);
  for (const host of ["10.0.0.7", "node7.cluster", "[2001:db8::7]", "localhost", "127.0.0.1"]) {
    expect(namesHost(made, host)).toBe(true);
  }
  expect(namesHost(made, "[::1]")).toBe(true);
  for (const host of ["10.0.0.8", "node8.cluster", "cluster", "[2001:db8::8]"]) {
    expect(namesHost(made, host)).toBe(false);
  }
  expect(made.ca).toBe(false);
  expect(certificate.length).toBeLessThan(CERTIFICATE_CHARS_MAX);
});

test("newCertificate() is valid for years, and for a host whose clock is behind", async () => {
  const [made] = readChain((await newCertificate([])).certificate);
  expect(Date.parse(made!.validTo)).toBeGreaterThan(Date.now() + 9 * YEAR_MS);
  expect(Date.parse(made!.validFrom)).toBeLessThan(Date.now() - 12 * 60 * 60 * 1000);
});

test("newCertificate() leaves nothing behind in Reflect, and makes no two alike", async () => {
  const [first, second] = [await newCertificate([]), await newCertificate([])];
  expect(first.key).not.toBe(second.key);
  const numbers = [first, second].map((pair) => readChain(pair.certificate)[0]!.serialNumber);
  expect(numbers[0]).not.toBe(numbers[1]);
  expect("getMetadata" in Reflect || "defineMetadata" in Reflect).toBe(false);
});

test("newCertificate() refuses what is no name of a host", async () => {
  for (
    const name of ["", "a b", "fe80::1%eth0", "host:80", "https://host", `${"a".repeat(64)}.b`]
  ) {
    await expect(newCertificate([name])).rejects.toThrow(`Cannot certify "${name}" as a server`);
  }
});

test("checkOwnCertificate() accepts one that stands alone and one with its chain", async () => {
  const authority = await newAuthority();
  expect(ownFailure(await newCertificate(["node7"]))).toBe("accepted");
  expect(ownFailure(await authority.issue(["node7"]))).toBe("accepted");
  expect(ownFailure(await authority.issue(["node7"], { isSelfSigned: true }))).toBe("accepted");
});

test("checkOwnCertificate() says why it refuses", async () => {
  const authority = await newAuthority();
  const pair = await authority.issue(["node7"]);
  const other = await authority.issue(["node7"]);
  const [alone = ""] = pair.certificate.split(/(?<=-----END CERTIFICATE-----\n)/);
  const expired = await authority.issue(["node7"], { days: [-9, -3] });
  const early = await authority.issue(["node7"], { days: [3, 9] });
  const forged = alone + (await newAuthority()).certificate;
  const cases: [string, KeyPair][] = [
    ["the key is not its key", { ...pair, key: other.key }],
    ["the key cannot be read as a private key in PEM without a password", { ...pair, key: "no" }],
    ["it holds no certificate in PEM", { ...pair, certificate: pair.key }],
    ["it cannot be read", { ...pair, certificate: alone.replace(/M/g, "N") }],
    ["it names no host (subjectAltName)", await authority.issue([])],
    [
      "it is one of an authority (CA:TRUE), which Deno does not accept",
      await authority.issue(["node7"], { isAuthority: true, isSelfSigned: true }),
    ],
    [`it expired on ${readChain(expired.certificate)[0]!.validTo}`, expired],
    [`it is valid only from ${readChain(early.certificate)[0]!.validFrom} on`, early],
    [
      "the certificate of its issuer (CN=Authority of a test) does not follow it",
      { ...pair, certificate: alone },
    ],
    [
      "the certificate of its issuer (CN=Authority of a test) does not follow it",
      { ...pair, certificate: forged },
    ],
    [
      `it has ${alone.length * 40} characters, ${CERTIFICATE_CHARS_MAX} at most are wanted`,
      { ...pair, certificate: alone.repeat(40) },
    ],
  ];
  for (const [found, wrong] of cases) expect(ownFailure(wrong)).toBe(found);
});
