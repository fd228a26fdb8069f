/**
 * Has what goes to a server of ours pass by the proxy that the environment names (`HTTP_PROXY`):
 * it leads out of a cluster, where a worker is not, and would be told every ticket on its way.
 *
 * @module
 */

import process from "node:process";

/** What a runtime's `fetch` and `WebSocket` take to go directly. */
export type DirectInit = { readonly proxy: false } | { readonly client: Deno.HttpClient };

/** `NO_PROXY` in both spellings: which of them a runtime reads first differs. */
const EXCEPTIONS: readonly string[] = ["NO_PROXY", "no_proxy"];

/** Every name, and every address, which `*` does not stand for. */
const EVERYTHING = "*,0.0.0.0/0,::/0";

let direct: DirectInit | undefined;

/** Options with which a server without TLS is asked directly. */
export function directInit(): DirectInit {
  if ("Bun" in globalThis) return { proxy: false };
  return direct ??= { client: newDirectClient({ http2: false }) };
}

/** A client of Deno's that goes directly. The environment is read when it is made, and only then. */
export function newDirectClient(options: Deno.CreateHttpClientOptions): Deno.HttpClient {
  const before = EXCEPTIONS.map((name) => [name, process.env[name]] as const);
  for (const name of EXCEPTIONS) process.env[name] = EVERYTHING;
  try {
    return Deno.createHttpClient(options);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}
