/**
 * Access files: how a worker or a command finds a manager by name, and proves itself to it.
 *
 * `$TENDRIL_HOME`, else `~/.tendril`, holds `managers/NAME.json`, which only its owner may read.
 * A file that others could have read or written is not trusted. The manager writes it
 * (manager/access.ts); `tendril access` writes one with fewer secrets, for one role.
 *
 * @module
 */

import { constants, readFileSync } from "node:fs";
import { lstat, open, readdir, stat } from "node:fs/promises";
import { homedir, hostname } from "node:os";
import process from "node:process";

import { dirname, join, resolve } from "@std/path";

import type { Secrets } from "./handshake.ts";
import {
  amount,
  type Check,
  list,
  name,
  oneOf,
  optional,
  positive,
  shape,
} from "./message_check.ts";
import { CERTIFICATE_CHARS_MAX } from "./protocol.ts";

/** What an access file says. */
export interface AccessFile {
  readonly version: 1;
  /** Name of the manager; the file's own name without `.json`. */
  readonly name: string;
  /** Random per manager; a restored one keeps it. */
  readonly managerId: string;
  /** Base urls (`http://HOST:PORT`), best first. */
  readonly urls: readonly string[];
  /** PEM: the only certificate to accept of `https:` urls; absent when there is no TLS. */
  readonly certificate?: string;
  /** One secret a role; an access file that was split lacks some. */
  readonly secrets: Secrets;
  /** Of the manager, on `host`. */
  readonly pid: number;
  /** A home may be shared by hosts, where a pid means nothing. */
  readonly host: string;
  readonly startedAtMs: number;
  /** When that process started, as `processStart` tells; absent where nothing tells it. */
  readonly processStart?: string;
}

/** Thrown for an access file that is missing or must not be used; `code` says which. */
export class AccessFileError extends Error {
  override readonly name = "AccessFileError";
  readonly code: "missing" | "not_trusted" | "damaged";

  constructor(code: AccessFileError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** An access file at most. */
export const ACCESS_BYTES_MAX: number = 64 * 1024;

const SUFFIX = ".json";
const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const OTHERS_MODE = 0o077;
const OTHERS_WRITE = 0o022;

const accessShape: Check<AccessFile> = shape<AccessFile>({
  version: oneOf([1]),
  name: name(100),
  managerId: name(256),
  urls: list(name(4096)),
  certificate: optional(name(CERTIFICATE_CHARS_MAX)),
  secrets: shape<Secrets>({
    worker: optional(name(256)),
    client: optional(name(256)),
    viewer: optional(name(256)),
  }),
  pid: positive,
  host: name(256),
  startedAtMs: amount,
  processStart: optional(name(64)),
});

/** The directory of access files. */
export function accessDirectory(): string {
  const home = process.env["TENDRIL_HOME"] || join(homedir(), ".tendril");
  return resolve(home, "managers");
}

/** Where the access file of the manager `managerName` is; RangeError for what is no name. */
export function accessPath(managerName: string): string {
  if (!NAME_PATTERN.test(managerName)) {
    throw new RangeError(
      `Cannot use "${managerName}" as the name of a manager: ` +
        "letters, digits, dots, dashes and underscores are wanted, 100 at most",
    );
  }
  return join(accessDirectory(), managerName + SUFFIX);
}

/** Reads an access file; throws AccessFileError when it is missing, open to others or damaged. */
export async function readAccessFile(path: string): Promise<AccessFile> {
  const text = await readPrivate(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(path, "it is not JSON", error);
  }
  const failure = accessShape(value);
  if (failure !== undefined) throw damaged(path, `access${failure}`);
  return value as AccessFile;
}

/** Which manager is meant; when nothing is said, the only one of this user that runs. */
export interface ManagerTarget {
  /** Base url that its access file must list, unless `access` names the file. */
  readonly url?: string | undefined;
  readonly name?: string | undefined;
  /** Path of an access file. */
  readonly access?: string | undefined;
}

/** The access file of the manager that is meant; an error says when there is none, or several. */
export async function findAccessFile({ url, name, access }: ManagerTarget): Promise<AccessFile> {
  if (access !== undefined) return await readAccessFile(access);
  if (name !== undefined) return await readNamed(name);
  const files = await listAccessFiles();
  if (url !== undefined) {
    const found = files.find((file) => file.urls.includes(url));
    if (found !== undefined) return found;
    throw new Error(
      `Cannot find the manager at "${url}": no access file of this user names it; ` +
        "use --access FILE",
    );
  }
  const running = namesOf(files);
  const [only] = files.filter((file) => !isStale(file));
  if (only !== undefined && running.length === 1) return only;
  const found = only === undefined
    ? "no manager of this user runs"
    : `these run: ${running.join(", ")}; use --name NAME`;
  throw new Error(`Cannot tell which manager is meant: ${found}`);
}

/**
 * The access file of the manager called `name`, of this user; throws AccessFileError when it is
 * missing or of no use.
 */
export async function readManagerAccess(managerName: string): Promise<AccessFile> {
  const path = accessPath(managerName);
  await checkDirectory(dirname(path));
  const file = await readAccessFile(path);
  if (file.name === managerName) return file;
  // Who may rename files there could send us to another manager of this user.
  throw notTrusted(path, `it is that of manager "${file.name}"`);
}

/**
 * Throws AccessFileError when others could have put files into `directory`, or put it where it is:
 * it must belong to this user, or to root, and nobody else may write to it. OpenSSH asks the same
 * of `~/.ssh` (StrictModes).
 */
export async function checkDirectory(directory: string): Promise<void> {
  try {
    const owner = process.getuid?.();
    const [entry, target] = [await lstat(directory), await stat(directory)];
    for (const { uid } of [entry, target]) {
      if (owner === undefined || uid === owner || uid === 0) continue;
      throw notTrusted(directory, `it belongs to user ${uid}, not ${owner}`);
    }
    if (!target.isDirectory()) throw notTrusted(directory, "it is no directory");
    if ((target.mode & OTHERS_WRITE) === 0) return;
    const mode = (target.mode & 0o777).toString(8);
    throw notTrusted(directory, `others may write to it (mode ${mode}, 700 is wanted)`);
  } catch (error) {
    // Nothing is in it then.
    if (errorCode(error) !== "ENOENT") throw error;
  }
}

/** Says which managers there are when there is none of that name. */
async function readNamed(name: string): Promise<AccessFile> {
  try {
    return await readManagerAccess(name);
  } catch (error) {
    if (!(error instanceof AccessFileError) || error.code !== "missing") throw error;
    const running = namesOf(await listAccessFiles());
    const found = running.length === 0
      ? "no manager of this user runs"
      : `these run: ${running.join(", ")}`;
    throw new Error(`Cannot find manager "${name}": ${found}`, { cause: error });
  }
}

function namesOf(files: readonly AccessFile[]): string[] {
  return files.filter((file) => !isStale(file)).map((file) => file.name);
}

/** Every access file of this user that can be trusted, by name; others are passed over. */
export async function listAccessFiles(): Promise<AccessFile[]> {
  const files: AccessFile[] = [];
  await checkDirectory(accessDirectory());
  for (const entry of (await readNames(accessDirectory())).sort()) {
    if (!entry.endsWith(SUFFIX) || entry.startsWith(".")) continue;
    try {
      files.push(await readManagerAccess(entry.slice(0, -SUFFIX.length)));
    } catch (error) {
      // Removed meanwhile, somebody else's, or no manager's name: none of this user's managers.
      if (!(error instanceof AccessFileError || error instanceof RangeError)) throw error;
    }
  }
  return files;
}

/** True when the manager is known to have ended: its process, on this host, is gone. */
export function isStale(access: AccessFile): boolean {
  if (access.host !== hostname()) return false;
  try {
    process.kill(access.pid, 0);
  } catch (error) {
    // EPERM says that the process exists.
    return errorCode(error) === "ESRCH";
  }
  // The number of a process that has ended is given to another one some day.
  const start = processStart(access.pid);
  return start !== undefined && access.processStart !== undefined && start !== access.processStart;
}

/**
 * What tells the process `pid` from another one of that number: the boot of the system and the
 * ticks from there to its start (proc(5)); undefined where there is no such thing.
 */
export function processStart(pid: number): string | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name of the program, in parentheses, may hold anything.
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return ticks === undefined ? undefined : `${boot} ${ticks}`;
  } catch {
    // No Linux, or a process that is hidden from us: nothing is known of it.
    return undefined;
  }
}

/** Reads a small file through one descriptor, so that what was checked is what is read. */
async function readPrivate(path: string): Promise<string> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let file;
  try {
    // A named pipe would block without O_NONBLOCK.
    file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT") {
      throw new AccessFileError("missing", `Cannot read access file "${path}": there is none`);
    }
    if (code === "ELOOP") throw notTrusted(path, "it is a symbolic link");
    throw error;
  }
  try {
    const facts = await file.stat();
    if (!facts.isFile()) throw notTrusted(path, "it is not a file");
    const owner = process.getuid?.();
    if (owner !== undefined && facts.uid !== owner) {
      throw notTrusted(path, `it belongs to user ${facts.uid}, not ${owner}`);
    }
    if ((facts.mode & OTHERS_MODE) !== 0) {
      const mode = (facts.mode & 0o777).toString(8);
      throw notTrusted(path, `others may use it (mode ${mode}, 600 is wanted)`);
    }
    if (facts.size > ACCESS_BYTES_MAX) throw damaged(path, `it has ${facts.size} bytes`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

async function readNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** The code of a system error, if it is one. */
function errorCode(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function notTrusted(path: string, found: string): AccessFileError {
  return new AccessFileError("not_trusted", `Cannot trust access file "${path}": ${found}`);
}

function damaged(path: string, found: string, cause?: unknown): AccessFileError {
  return new AccessFileError("damaged", `Cannot use access file "${path}": ${found}`, { cause });
}
