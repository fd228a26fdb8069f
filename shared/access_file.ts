/**
 * Access files: how a worker or a command finds a manager by name, and proves itself to it.
 *
 * `$TENDRIL_HOME`, else `~/.tendril`, holds `managers/NAME.json`, which only its owner may read.
 * A file that others could have read or written is not trusted. The manager writes it
 * (manager/access.ts); `tendril access` writes one with fewer secrets, for one role.
 *
 * @module
 */

import { constants, readFileSync, readlinkSync } from "node:fs";
import { lstat, open, readdir, stat } from "node:fs/promises";
import { homedir, hostname } from "node:os";
import process from "node:process";

import { dirname, join, resolve } from "@std/path";

import { type Role, ROLES, type Secrets } from "./handshake.ts";
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
  /** Tells that process from others of its pid, see `processStart`; absent where nothing does. */
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
const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const OTHERS_MODE = 0o077;
const OTHERS_WRITE = 0o022;
const ALL_WRITE = 0o002;
const STICKY = 0o1000;

/** Ended managers that an error names. */
const ENDED_MAX = 3;

const accessShape: Check<AccessFile> = shape<AccessFile>({
  version: oneOf([1]),
  name: name(64),
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
  processStart: optional(name(128)),
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
        'expected up to 64 letters, digits, ".", "_" and "-"',
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
  const live = files.filter((file) => !isStale(file));
  if (url !== undefined) {
    // The port of one that has ended may have gone to another one.
    const found = [...live, ...files].find((file) => file.urls.includes(url));
    if (found !== undefined) return found;
    throw new Error(
      `Cannot find the manager at "${url}": no access file of this user names it; ` +
        "use --access FILE",
    );
  }
  const [only] = live;
  if (only !== undefined && live.length === 1) return only;
  const hint = only === undefined ? "" : "; use --name NAME";
  throw new Error(`Cannot tell which manager is meant: ${describeRunning(files)}${hint}`);
}

/**
 * The access file of the manager called `name`, of this user; throws AccessFileError when it is
 * missing or of no use.
 */
export async function readManagerAccess(managerName: string): Promise<AccessFile> {
  const path = accessPath(managerName);
  await checkHome();
  const file = await readAccessFile(path);
  if (file.name === managerName) return file;
  // Who may rename files there could send us to another manager of this user.
  throw notTrusted(path, `it is that of manager "${file.name}"`);
}

/**
 * Throws AccessFileError when others could have put access files where this user's are, or have
 * put these somewhere else.
 *
 * OpenSSH asks the same of `~/.ssh` (StrictModes), and of all folders above it. Here whoever may
 * write to one above gains nothing but that files are not found: each must be its reader's own,
 * private, and of the name that was asked for, and no server is believed without its secret.
 * So a home in a folder of a group is taken; one that is open to everybody is a mistake.
 */
export async function checkHome(): Promise<void> {
  const directory = accessDirectory();
  await checkDirectory(dirname(directory), (mode) => {
    return (mode & ALL_WRITE) !== 0 && (mode & STICKY) === 0;
  });
  await checkDirectory(directory, (mode) => (mode & OTHERS_WRITE) !== 0);
}

/** Refuses a directory, or a link to one, of another user, and one whose mode `isOpen`. */
async function checkDirectory(
  directory: string,
  isOpen: (mode: number) => boolean,
): Promise<void> {
  try {
    const owner = process.getuid?.();
    const [entry, target] = [await lstat(directory), await stat(directory)];
    for (const { uid } of [entry, target]) {
      if (owner === undefined || uid === owner || uid === 0) continue;
      throw notTrusted(directory, `it belongs to user ${uid}, not ${owner}`);
    }
    if (!target.isDirectory()) throw notTrusted(directory, "it is no directory");
    if (!isOpen(target.mode)) return;
    const mode = (target.mode & 0o777).toString(8);
    throw notTrusted(directory, `others may write to it (mode ${mode}, 700 is wanted)`);
  } catch (error) {
    // Nothing is in it then.
    if (errorCode(error) === "ENOENT") return;
    if (errorCode(error) !== "EACCES") throw error;
    throw new AccessFileError(
      "not_trusted",
      `Cannot look for access files in "${directory}": permission denied`,
      { cause: error },
    );
  }
}

/** Says which managers there are when there is none of that name. */
async function readNamed(name: string): Promise<AccessFile> {
  try {
    return await readManagerAccess(name);
  } catch (error) {
    if (!(error instanceof AccessFileError) || error.code !== "missing") throw error;
    const found = describeRunning(await listAccessFiles());
    throw new Error(`Cannot find manager "${name}": ${found}`, { cause: error });
  }
}

/** Which of `files` are of managers that run; when none is, which have ended. */
function describeRunning(files: readonly AccessFile[]): string {
  const running = files.filter((file) => !isStale(file)).map(({ name }) => name);
  if (running.length > 0) return `these run: ${running.join(", ")}`;
  const ended = files.map(({ name, pid }) => `${name} (process ${pid})`);
  const more = ended.length > ENDED_MAX ? `, and ${ended.length - ENDED_MAX} more` : "";
  const found = ended.length === 0 ? "" : `; ended: ${ended.slice(0, ENDED_MAX).join(", ")}${more}`;
  return `no manager of this user runs${found}`;
}

/** Every access file of this user that can be trusted, by name; others are passed over. */
export async function listAccessFiles(): Promise<AccessFile[]> {
  const files: AccessFile[] = [];
  await checkHome();
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

/** Why an access file does not do for `role`: it was made for others. */
export function describeLack({ secrets }: AccessFile, role: Role): string {
  const made = ROLES.filter((known) => secrets[known] !== undefined);
  const found = made.length === 0 ? "no role" : `role ${made.join(" and ")}`;
  return `its access file has no ${role} secret: it was made for ${found}`;
}

/**
 * Where and since when a manager runs by what its access file says, which is all that is known of
 * another host; undefined for this one.
 */
export function describeClaim({ host, pid, startedAtMs }: AccessFile): string | undefined {
  if (host === hostname()) return undefined;
  const since = new Date(startedAtMs).toISOString().replace(/\.\d+Z$/, "Z");
  return `by its access file it runs on ${host} as process ${pid} since ${since}`;
}

/** True when the manager is known to have ended: its process, on this host, is gone. */
export function isStale(
  { host, pid, processStart: start }: Pick<AccessFile, "host" | "pid" | "processStart">,
): boolean {
  if (host !== hostname()) return false;
  const known = start?.split(" ");
  const here = pidSpace();
  const isSameBoot = known?.[0] === here?.[0];
  // In a container a pid is that of another process.
  if (known !== undefined && here !== undefined && isSameBoot && known[1] !== here[1]) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM says that the process exists.
    return errorCode(error) === "ESRCH";
  }
  const found = readProcess(pid);
  if (found === undefined) return false;
  // Nobody has asked yet how it ended.
  if (found.state === "Z" || found.state === "X") return true;
  // The number of a process that has ended is given to another one some day.
  const now = processStart(pid);
  return start !== undefined && now !== undefined && now !== start;
}

/**
 * What tells the process `pid` from another one of that number: the boot of the system, the space
 * of its pids, and the ticks from the boot to its start (proc(5)); undefined where there is no such
 * thing.
 */
export function processStart(pid: number): string | undefined {
  const [space, found] = [pidSpace(), readProcess(pid)];
  return space && found && [...space, found.startTicks].join(" ");
}

/** The boot of this system, and the space of pids in which we are. */
function pidSpace(): readonly [boot: string, space: string] | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return [boot, readlinkSync("/proc/self/ns/pid")];
  } catch {
    // No Linux: nothing is known of it.
    return undefined;
  }
}

function readProcess(pid: number): { state: string; startTicks: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name of the program, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startTicks] = [fields[0], fields[19]];
    return state === undefined || startTicks === undefined ? undefined : { state, startTicks };
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
    // How many names it has says nothing: whoever gave it another one still cannot read it, and a
    // manager's file has two for a moment when it is published.
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
