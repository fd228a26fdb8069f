/** What tells whether there is still the same at a url. */

import { createHash } from "node:crypto";

import { shownUrl } from "../../shared/url/address.ts";
import { discardBody, requestUrl } from "../../shared/url/request.ts";

/** How long a server has to tell whether a file is still the same, in milliseconds. */
const HEAD_MS_MAX = 30_000;

/**
 * A digest of what its server says of a url now.
 *
 * @throws {TypeError} When it says nothing that would change with the contents.
 */
export async function urlVersion(url: string): Promise<string> {
  const shown = shownUrl(url);
  if (!/^https?:/i.test(url)) {
    throw new TypeError(
      `Cannot tell whether "${shown}" is still the same: what is there is not known by its name`,
    );
  }
  const signal = AbortSignal.timeout(HEAD_MS_MAX);
  const { response } = await requestUrl(url, { method: "HEAD", headers: {}, signal })
    .catch((cause: unknown) => {
      const found = cause instanceof Error ? cause.message : String(cause);
      throw new TypeError(`Cannot tell whether "${shown}" is still the same: ${found}`, { cause });
    });
  await discardBody(response);
  const { headers } = response;
  const said = ["etag", "last-modified"].map((name) => headers.get(name));
  if (!response.ok || said.every((one) => one === null)) {
    const found = response.ok ? "no ETag and no Last-Modified" : `status ${response.status}`;
    throw new TypeError(
      `Cannot tell whether "${shown}" is still the same: its server said ${found}`,
    );
  }
  const validators = JSON.stringify([url, ...said, headers.get("content-length")]);
  return createHash("sha256").update(validators).digest("hex");
}
