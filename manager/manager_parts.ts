/** What a manager is made of, from its start on: a folder, a server, and its access file. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { type AccessFile, processStart } from "../shared/access_file.ts";
import { loopbackFirst } from "../shared/addresses.ts";
import { newSecret } from "../shared/handshake.ts";
import { writeAccessCopy, writeAccessFile } from "./access.ts";
import type { ManagerConfig } from "./config.ts";
import { FailedOutputs } from "./failed_output.ts";
import { LocalWorkers } from "./local_worker.ts";
import { ManagerLog } from "./manager_log.ts";
import { tell } from "./notice.ts";
import { findPlace } from "./place.ts";
import { RunDirectory } from "./run_directory.ts";
import { Shell } from "./shell.ts";

/** The parts of one manager. */
export interface ManagerParts {
  readonly shell: Shell;
  readonly access: AccessFile;
  /** Folder of this manager's own, removed at close. */
  readonly folder: string;
  readonly runDirectory: RunDirectory;
  readonly log: ManagerLog;
  readonly failedOutputs: FailedOutputs;
}

/** Makes a manager's folder, server and access file; leaves nothing behind when it fails. */
export async function startParts(config: ManagerConfig): Promise<ManagerParts> {
  const managerId = randomBytes(12).toString("hex");
  const name = config.name ?? `manager-${managerId.slice(0, 8)}`;
  const secrets = { worker: newSecret(), client: newSecret(), viewer: newSecret() };
  const runDirectory = new RunDirectory(config, { name, managerId });
  const folder = await makeFolder();
  const log = new ManagerLog({ runDirectory, name, level: config.logLevel });
  let shell: Shell | undefined;
  try {
    const spool = join(folder, "spool");
    const place = await findPlace(config);
    const identity = { name, managerId, secrets, place };
    const parts = { config, ...identity, runDirectory, spool };
    shell = await Shell.start({
      ...parts,
      onBug: (error) => {
        log.noteBug(error);
        throwLater(error);
      },
    });
    const failedOutputs = new FailedOutputs({ runDirectory });
    shell.engine.subscribe((facts) => log.hear(facts));
    shell.engine.subscribe((facts) => failedOutputs.hear(facts));
    const start = processStart(process.pid);
    const access: AccessFile = {
      version: 1,
      name,
      managerId,
      urls: shell.urls,
      ...(place.tls === undefined ? {} : { certificate: place.tls.certificate }),
      secrets,
      pid: process.pid,
      host: hostname(),
      startedAtMs: Date.now(),
      ...(start === undefined ? {} : { processStart: start }),
    };
    await writeAccessFile(access);
    return { shell, access, folder, runDirectory, log, failedOutputs };
  } catch (error) {
    await shell?.close();
    await log.close();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function makeFolder(): Promise<string> {
  try {
    return await mkdtemp(join(tmpdir(), "tendril-manager-"));
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot use "${tmpdir()}" for a manager's files: ${found}; set TMPDIR`, {
      cause,
    });
  }
}

/** Starts the local workers of a manager. */
export async function startLocalWorkers(
  { shell, folder, access, runDirectory, log }: ManagerParts,
  { config, isClosing, onNoneCame }: {
    readonly config: ManagerConfig;
    readonly isClosing: () => boolean;
    /** All have ended, none has joined, and nobody else is there. */
    readonly onNoneCame: (message: string) => void;
  },
): Promise<LocalWorkers> {
  const accessPath = join(folder, "access.json");
  const { worker = "" } = access.secrets;
  const urls = loopbackFirst(access.urls);
  await writeAccessCopy(accessPath, { ...access, urls, secrets: { worker } });
  let leftCount = config.workers.count;
  if (leftCount > 0) log.open();
  let haveJoined = false;
  return await LocalWorkers.start({
    config: config.workers,
    accessPath,
    workspaces: config.workers.workspace ?? join(folder, "workers"),
    logs: runDirectory.logsPath ?? join(folder, "logs"),
    hasLogs: runDirectory.logsPath !== undefined,
    logLevel: config.logLevel,
    hasJoined: (pid) => shell.hasJoined(pid),
    onExit: (pid, message, isReplaced) => {
      if (!isReplaced) leftCount -= 1;
      haveJoined = shell.noteExit(pid) || haveJoined;
      if (isClosing()) return;
      const isAlone = shell.status().workers.connected === 0;
      if (leftCount === 0 && !haveJoined && isAlone) return onNoneCame(message);
      tell(message);
    },
  });
}

/** Ends the process as an uncaught error: a manager with a bug must not seem to run. */
export function throwLater(error: unknown): void {
  setTimeout(() => {
    throw error;
  }, 0);
}
