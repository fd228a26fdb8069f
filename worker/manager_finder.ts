/**
 * Finds a worker's manager by its access file, also when the file comes later, goes, or becomes
 * that of the next manager of the name.
 *
 * @module
 */

import { basename } from "@std/path";

import {
  type AccessFile,
  AccessFileError,
  accessPath,
  describeClaim,
  describeLack,
  findAccessFile,
  isStale,
  type ManagerTarget,
  readAccessFile,
  readManagerAccess,
} from "../shared/access_file.ts";
import { AccessWatch } from "./access_watch.ts";

/** Where the manager is and what proves that we belong to it. */
export interface ManagerAccess {
  /** Base urls to dial, `http://HOST:PORT` or `https:`, best first. */
  readonly urls: readonly string[];
  /** Base urls under which others know it: they say where its other workers can be. */
  readonly publishedUrls: readonly string[];
  readonly secret: string;
  /** PEM: the only certificate accepted of `https:` urls. */
  readonly certificate?: string;
  /** Tells one manager, and one start of it, from the next of its name. */
  readonly identity: string;
  /** What is known of its process, when that has ended: who answers in its place is a stranger. */
  readonly ended?: string;
  /** Where and since when it runs as it says, on another host. */
  readonly claim?: string;
}

/** Reads and watches the access file of one manager and its successors. */
export class ManagerFinder {
  /** As messages name it. */
  readonly manager: string;
  /** For the workspace: the name of the manager, as far as it is known. */
  readonly name: string;
  readonly #target: ManagerTarget;
  readonly #path: string;
  #hasFound: boolean;

  private constructor(target: ManagerTarget, path: string, first: AccessFile | undefined) {
    this.name = first?.name ?? target.name ?? basename(path).replace(/\.json$/, "");
    const known = first?.name ?? target.name;
    this.manager = known === undefined ? `the manager of "${path}"` : `manager "${known}"`;
    this.#target = target;
    this.#path = path;
    this.#hasFound = first !== undefined;
  }

  /**
   * A manager that is named may come later; when it is left to us to find it, it has to be there.
   *
   * @throws {Error} If there is none, several are meant, or its access file is of no use.
   */
  static async open(target: ManagerTarget): Promise<ManagerFinder> {
    const { access, name } = target;
    const path = access ?? (name === undefined ? undefined : accessPath(name));
    if (path === undefined) {
      const found = await findAccessFile(target);
      checkSecret(found);
      const lasting = target.url === undefined ? { name: found.name } : target;
      return new ManagerFinder(lasting, accessPath(found.name), found);
    }
    const first = await readIfThere(target, path);
    if (first !== undefined) checkSecret(first);
    return new ManagerFinder(target, path, first);
  }

  /** The manager as its access file has it now; throws while there is none, saying so. */
  async read(): Promise<ManagerAccess> {
    const { url, access, name } = this.#target;
    const isByUrl = access === undefined && name === undefined;
    const file = isByUrl
      ? await findAccessFile(this.#target)
      : await readIfThere(this.#target, this.#path);
    if (file === undefined) {
      throw new Error(`no access file ${this.#hasFound ? "any more" : "yet"} at "${this.#path}"`);
    }
    this.#hasFound = true;
    const claim = describeClaim(file);
    const ended = isStale(file) ? `its process ${file.pid} on ${file.host} has ended` : undefined;
    return {
      urls: url === undefined ? file.urls : [url],
      publishedUrls: file.urls,
      secret: checkSecret(file),
      identity: `${file.managerId} ${file.startedAtMs}`,
      ...(file.certificate === undefined ? {} : { certificate: file.certificate }),
      ...(ended === undefined ? {} : { ended }),
      ...(claim === undefined ? {} : { claim }),
    };
  }

  /** Calls `changed` when `read` may have another answer, where the file system tells. */
  watch(changed: () => void): AccessWatch {
    return new AccessWatch(this.#path, changed);
  }
}

async function readIfThere(
  { access, name }: ManagerTarget,
  path: string,
): Promise<AccessFile | undefined> {
  try {
    const isByName = access === undefined && name !== undefined;
    return await (isByName ? readManagerAccess(name) : readAccessFile(path));
  } catch (error) {
    if (error instanceof AccessFileError && error.code === "missing") return undefined;
    throw error;
  }
}

/** The secret by which a worker is let in. */
function checkSecret(file: AccessFile): string {
  if (file.secrets.worker !== undefined) return file.secrets.worker;
  throw new Error(`Cannot join manager "${file.name}": ${describeLack(file, "worker")}`);
}
