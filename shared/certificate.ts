/**
 * Certificates by which servers of one manager are known: made when they start, pinned by those
 * who hold its access file, signed by nobody else. A user may bring one of their own instead.
 *
 * @module
 */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { isIP } from "node:net";

import { isHostName, withoutBrackets } from "./addresses.ts";
import { CERTIFICATE_CHARS_MAX } from "./protocol.ts";

/** A certificate and its private key, both in PEM. */
export interface KeyPair {
  /** The chain up to its root follows it when another authority has signed it. */
  readonly certificate: string;
  readonly key: string;
}

/** Names that every certificate made here holds, so that a server can be tried where it runs. */
const LOCAL_NAMES: readonly string[] = ["localhost", "127.0.0.1", "::1"];

const DAY_MS: number = 24 * 60 * 60 * 1000;

/** A manager may run for months, and a restored one keeps its certificate. */
const VALID_DAYS: number = 10 * 365;

/** The clocks of two hosts may differ by this much. */
const BACKDATED_DAYS = 1;

/** RFC 5280 section 4.1.2.2: unique, positive, at most 20 octets. */
const SERIAL_BYTES = 16;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Makes a key, and a certificate signed by it, for servers at `names`: host names and addresses.
 *
 * It is no authority (`CA:FALSE`): Deno refuses an authority as the certificate of a server, and
 * nothing else can be signed with its key.
 *
 * @throws {RangeError} if a name is neither a host name nor an address.
 */
export async function newCertificate(names: readonly string[]): Promise<KeyPair> {
  const subjects = [...new Set([...names.map(checkName), ...LOCAL_NAMES])];
  const x509 = await loadX509();
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const nowMs = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(),
    name: "CN=Tendril",
    notBefore: new Date(nowMs - BACKDATED_DAYS * DAY_MS),
    notAfter: new Date(nowMs + VALID_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        subjects.map((value) => ({
          type: isIP(value) === 0 ? "dns" as const : "ip" as const,
          value,
        })),
      ),
    ],
  });
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: `${x509.PemConverter.encode(key, "PRIVATE KEY")}\n`,
  };
}

/**
 * Checks that a server can be known by a certificate of the user's own, on Bun and on Deno.
 *
 * It must be valid now, be no authority itself, name its hosts in subjectAltName, and belong to
 * `key`. One that an authority has signed must be followed by its chain, the root included.
 *
 * @throws {RangeError} if it cannot, with the reason.
 */
export function checkOwnCertificate({ certificate, key }: KeyPair): void {
  const length = certificate.length;
  if (length > CERTIFICATE_CHARS_MAX) {
    throw refused(`it has ${length} characters, ${CERTIFICATE_CHARS_MAX} at most are wanted`);
  }
  const chain = readChain(certificate);
  const [own] = chain;
  if (own === undefined) throw refused("it holds no certificate in PEM");
  const nowMs = Date.now();
  if (Date.parse(own.validTo) < nowMs) throw refused(`it expired on ${own.validTo}`);
  if (Date.parse(own.validFrom) > nowMs) throw refused(`it is valid only from ${own.validFrom} on`);
  if (own.ca) throw refused("it is one of an authority (CA:TRUE), which Deno does not accept");
  if (!own.subjectAltName) throw refused("it names no host (subjectAltName)");
  if (!own.checkPrivateKey(readKey(key))) throw refused("the key is not its key");
  for (const [index, link] of chain.entries()) {
    // A root has signed itself, and so has a certificate that stands alone.
    const issuer = chain[index + 1] ?? link;
    if (link.issuer === issuer.subject && link.verify(issuer.publicKey)) continue;
    throw refused(`the certificate of its issuer (${oneLine(link.issuer)}) does not follow it`);
  }
}

/** The certificates of a PEM text, in order; throws RangeError for one that cannot be read. */
export function readChain(certificate: string): X509Certificate[] {
  try {
    return (certificate.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block));
  } catch (error) {
    throw refused("it cannot be read", error);
  }
}

/** True when `certificate` names `host`, which is an address or a host name. */
export function namesHost(certificate: X509Certificate, host: string): boolean {
  const bare = withoutBrackets(host);
  const found = isIP(bare) === 0 ? certificate.checkHost(bare) : certificate.checkIP(bare);
  return found !== undefined;
}

function readKey(key: string): KeyObject {
  try {
    return createPrivateKey(key);
  } catch (error) {
    throw refused("the key cannot be read as a private key in PEM without a password", error);
  }
}

function refused(found: string, cause?: unknown): RangeError {
  return new RangeError(`Cannot use the certificate as a server's: ${found}`, { cause });
}

function checkName(name: string): string {
  const bare = withoutBrackets(name);
  // An address with a zone means something else on each host.
  if ((isIP(bare) > 0 && !bare.includes("%")) || isHostName(bare)) return bare;
  throw new RangeError(`Cannot certify "${name}" as a server: it is no host name and no address`);
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}

function newSerialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES));
  // Neither negative nor with a leading zero.
  bytes[0] = (bytes[0] ?? 0) & 0x7f | 0x40;
  return bytes.toHex();
}

/** What `tsyringe`, a dependency of x509, asks for while it loads; it gets by without answers. */
const METADATA = {
  getMetadata: () => undefined,
  getOwnMetadata: () => undefined,
  defineMetadata: () => {},
};

/** Loads x509, which takes as long as starting a worker's child does: only where it is needed. */
async function loadX509(): Promise<typeof import("@peculiar/x509")> {
  const added = Object.entries(METADATA).filter(([name]) => !(name in Reflect));
  for (const [name, value] of added) {
    Object.defineProperty(Reflect, name, { configurable: true, writable: true, value });
  }
  try {
    return await import("@peculiar/x509");
  } finally {
    // A user's own polyfill may have come meanwhile.
    for (const [name, value] of added) {
      if (Reflect.get(Reflect, name) === value) Reflect.deleteProperty(Reflect, name);
    }
  }
}
