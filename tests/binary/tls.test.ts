/** TLS between every two of Bun, Deno and the compiled binary. */

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { join } from "@std/path";

import { newCertificate } from "../../shared/certificate.ts";
import { BINARY, ROOT } from "./built.ts";
import type { DialOrder, DialReport } from "./tls_script.ts";

const SCRIPT = join(ROOT, "tests/binary/tls_script.ts");

const FILE_BYTES = 600_000_000;

/** Less than the file; Deno lets up to 250 MB of garbage pile up, whatever the size of the body. */
const GROWTH_BYTES_MAX = 400_000_000;

const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  "Bun": ["bun", SCRIPT],
  "Deno": [
    "deno",
    "run",
    "--allow-all",
    "--no-check",
    `--config=${join(ROOT, "deno.json")}`,
    SCRIPT,
  ],
  "the binary": [BINARY, "run", "--quiet", SCRIPT],
};

const directory = mkdtempSync(join(tmpdir(), "tendril-test-"));
const file = join(directory, "file");
writeFileSync(file, "");
truncateSync(file, FILE_BYTES);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

type End = Bun.Subprocess<"pipe", "pipe", "inherit">;

function start(runtime: string, args: readonly string[]): End {
  const cmd = [...COMMANDS[runtime] ?? [], ...args];
  return Bun.spawn({ cmd, cwd: directory, stdin: "pipe", stdout: "pipe", stderr: "inherit" });
}

async function* linesOf(end: End): AsyncGenerator<string, string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of end.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  return "";
}

const runtimes = Object.keys(COMMANDS);
const pairs = runtimes.flatMap((server) => runtimes.map((client) => [server, client] as const));

test.each(pairs)(
  "TLS of %s holds for %s: bodies, frames, refusals, and memory that does not grow with them",
  async (serverRuntime, clientRuntime) => {
    const server = start(serverRuntime, ["serve", file]);
    try {
      const lines = linesOf(server);
      const { host, certificate } = JSON.parse((await lines.next()).value);
      const otherCertificate = (await newCertificate([])).certificate;
      const client = start(clientRuntime, ["dial"]);
      const order: DialOrder = { host, certificate, otherCertificate, file };
      client.stdin.write(JSON.stringify(order));
      await client.stdin.end();
      const report: DialReport = JSON.parse(await new Response(client.stdout).text());
      expect(report).toMatchObject({
        receivedBytes: FILE_BYTES,
        sentBytes: String(FILE_BYTES),
        frameBytes: 1_000_000,
      });
      expect(report.refusals).toHaveLength(2);
      for (const refusal of report.refusals) {
        expect(refusal).toStartWith("PinError: Cannot accept");
        expect(refusal).toEndWith("it has another certificate than the one known of it");
      }
      expect(report.peakGrowthBytes).toBeLessThan(GROWTH_BYTES_MAX);
      await server.stdin.end();
      const { peakGrowthBytes } = JSON.parse((await lines.next()).value);
      expect(peakGrowthBytes).toBeLessThan(GROWTH_BYTES_MAX);
      expect(await server.exited).toBe(0);
    } finally {
      server.kill("SIGKILL");
      await server.exited;
    }
  },
  120_000,
);
