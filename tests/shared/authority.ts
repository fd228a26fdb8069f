/** An authority of a test's own, which signs what certificates a test wants. */

import { isIP } from "node:net";

import { type KeyPair, newCertificate } from "../../shared/certificate.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** What differs from a server's usual certificate. */
export interface Wish {
  readonly isAuthority?: boolean;
  /** Days from now on that it is valid. */
  readonly days?: readonly [from: number, to: number];
  /** Signed by its own key, as that of an authority is. */
  readonly isSelfSigned?: boolean;
}

/** Signs certificates for `names`; its own follows each in the PEM. */
export interface Authority {
  /** In PEM, alone. */
  readonly certificate: string;
  issue(names: readonly string[], wish?: Wish): Promise<KeyPair>;
}

/** Makes an authority. */
export async function newAuthority(): Promise<Authority> {
  // Loads x509 as it wants to be loaded.
  await newCertificate([]);
  const x509 = await import("@peculiar/x509");
  const newKeys = () => crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const authorityKeys = await newKeys();
  const authorityName = "CN=Authority of a test";

  const sign = async (
    keys: CryptoKeyPair,
    subject: string,
    { names, isAuthority = false, days = [-1, 30], isSelfSigned = false }: Wish & {
      names: readonly string[];
    },
  ): Promise<string> => {
    const nowMs = Date.now();
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: isSelfSigned ? subject : authorityName,
      notBefore: new Date(nowMs + days[0] * DAY_MS),
      notAfter: new Date(nowMs + days[1] * DAY_MS),
      publicKey: keys.publicKey,
      signingKey: isSelfSigned ? keys.privateKey : authorityKeys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(isAuthority, undefined, true),
        ...names.length === 0 ? [] : [
          new x509.SubjectAlternativeNameExtension(
            names.map((value) => ({
              type: isIP(value) === 0 ? "dns" as const : "ip" as const,
              value,
            })),
          ),
        ],
      ],
    });
    return `${certificate.toString("pem")}\n`;
  };

  const wish = { names: [], isAuthority: true, isSelfSigned: true };
  const root = await sign(authorityKeys, authorityName, wish);
  return {
    certificate: root,
    issue: async (names, wish = {}) => {
      const keys = await newKeys();
      const own = await sign(keys, "CN=A server of a test", { ...wish, names });
      const key = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
      return {
        certificate: wish.isSelfSigned ? own : own + root,
        key: `-----BEGIN PRIVATE KEY-----\n${key.toBase64()}\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}
