import { expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { newCertificate } from "../../shared/certificate.ts";
import { selfCommand } from "../../shared/runtime/self_command.ts";
import { FakeManager } from "./fake_manager.ts";

/** A worker process with a home of its own. */
class Command implements AsyncDisposable {
  readonly home: string = mkdtempSync(join(tmpdir(), "tendril-test-"));
  readonly ended: Promise<number | string | null>;
  readonly #child: ChildProcess;
  #said = "";
  #hear: (() => void) | undefined;

  constructor(...args: readonly string[]) {
    const workspace = join(this.home, "workspace");
    const [program = "", ...rest] = selfCommand(["worker", "--workspace", workspace, ...args]);
    this.#child = spawn(program, rest, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, TENDRIL_HOME: join(this.home, "home") },
    });
    this.#child.stderr?.on("data", (bytes) => {
      this.#said += String(bytes);
      this.#hear?.();
    });
    this.ended = new Promise((resolve) => {
      this.#child.once("close", (code, signal) => resolve(code ?? signal));
    });
  }

  get said(): string {
    return this.#said;
  }

  /** Resolves when it has said `text`. */
  async says(text: string): Promise<void> {
    while (!this.#said.includes(text)) {
      await new Promise<void>((resolve) => this.#hear = resolve);
    }
  }

  /** Publishes the access file of `manager` under the name "fake". */
  publish(manager: FakeManager): void {
    const directory = join(this.home, "home", "managers");
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    manager.writeAccess(manager.secret, join(directory, "fake.json"));
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.kill("SIGKILL");
    await this.ended;
    rmSync(this.home, { recursive: true, force: true });
  }
}

test(
  "tendril worker --name waits for a manager of that name, says so once and joins it",
  async () => {
    await using manager = new FakeManager();
    await using worker = new Command("--name", "fake");
    await worker.says(
      'tendril worker: waiting for manager "fake", 5 m at most: no access file yet at',
    );
    worker.publish(manager);
    const hello = await manager.next("hello");
    expect(hello.urls).toEqual([expect.stringMatching(/^http:\/\/127\.0\.0\.1:/)]);
    expect(worker.said.match(/waiting/g)?.length).toBe(1);
    expect(readdirSync(join(worker.home, "workspace"), { recursive: true }))
      .toContainEqual(expect.stringMatching(/tendril-\d+\/fake$/));
  },
  60_000,
);

test(
  "tendril worker --access waits for the file, and works in a place named after it",
  async () => {
    await using manager = new FakeManager();
    const path = join(manager.directory, "my site.json");
    await using worker = new Command("--access", path);
    await worker.says(`waiting for the manager of "${path}", 5 m at most: no access file yet`);
    copyFileSync(manager.accessPath, path);
    await manager.next("hello");
    expect(readdirSync(join(worker.home, "workspace"), { recursive: true }))
      .toContainEqual(expect.stringMatching(/tendril-\d+\/my-site$/));
  },
  60_000,
);

test("tendril worker ends with code 1 when no manager came within its idle timeout", async () => {
  await using worker = new Command("--name", "fake", "--idle-timeout", "300ms");
  expect(await worker.ended).toBe(1);
  expect(worker.said).toMatch(/Cannot join manager "fake": waited 0 s for it: no access file yet/);
}, 60_000);

test("tendril worker ends at once when it is not told which manager, and none runs", async () => {
  await using worker = new Command();
  expect(await worker.ended).toBe(1);
  expect(worker.said).toBe(
    "tendril worker: Cannot tell which manager is meant: no manager of this user runs\n",
  );
}, 60_000);

test("tendril worker tells a manager that is gone, and ends with code 0", async () => {
  await using manager = new FakeManager();
  await using worker = new Command("--name", "fake", "--idle-timeout", "300ms");
  worker.publish(manager);
  await manager.next("hello");
  await manager.run("true");
  await manager.stop();
  expect(await worker.ended).toBe(0);
  expect(worker.said).toMatch(/No manager for \d+ s: nobody answers for it \(http:/);
}, 60_000);

test("tendril worker ends with code 1 when it cannot listen where it is told to", async () => {
  await using manager = new FakeManager();
  const taken = new URL(manager.url).port;
  await using worker = new Command("--name", "fake", "--listen", `127.0.0.1:${taken}`);
  worker.publish(manager);
  expect(await worker.ended).toBe(1);
  expect(worker.said).toContain("Cannot serve files to other workers: ");
}, 60_000);

test("tendril worker opens its doors anew for the next manager, as that one's are", async () => {
  await using manager = new FakeManager();
  await using worker = new Command("--name", "fake");
  worker.publish(manager);
  const first = await manager.next("hello");
  expect(first.certificate).toBeUndefined();
  await manager.run("true");
  await manager.stop();
  await using next = new FakeManager(await newCertificate([]));
  worker.publish(next);
  const second = await next.next("hello");
  expect(second.urls.length).toBeGreaterThan(0);
  expect(second.urls.filter((url) => !url.startsWith("https://"))).toEqual([]);
  expect(second.certificate).toStartWith("-----BEGIN CERTIFICATE-----");
  expect(second.workerId).toBe(first.workerId);
  worker.kill("SIGTERM");
  expect(await worker.ended).toBe(0);
}, 60_000);
