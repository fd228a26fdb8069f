/** Files as workflows name them: by a path or a url. */

import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

import { basename, resolve } from "@std/path";

import { shownUrl } from "../../shared/url/address.ts";
import { oneOf, readOptions, show } from "../option.ts";
import type { StagingMode } from "./staging.ts";

/** What a url begins with; one letter is no scheme. */
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]+):/;

/** Options of a file. */
export interface FileStagingOptions {
  /** How it is brought to calls. Default: as the app says, else `"task"`. */
  readonly staging?: StagingMode;
}

/** Checks how files are brought. */
export const STAGING_MODES: readonly StagingMode[] = ["task", "inside"];

/**
 * A file, or a directory, that calls read or write. What its scheme is decides how it comes to where
 * it is needed: `file` (a path of this machine), `http`, `https`, `ftp`, `zip`, or what a staging of
 * one's own takes.
 *
 * @example
 * ```ts
 * const reads = new File("reads.fq");
 * const genome = new File("https://data.example.org/genome.fa.gz");
 * ```
 */
export class File {
  /** Whole, as `file:///data/reads.fq`. */
  readonly url: string;
  /** As `file`. */
  readonly scheme: string;
  /** Of the scheme `file` the absolute path; of others the path in the url. */
  readonly path: string;
  /** The last part of the path. */
  readonly name: string;
  /** How it is brought to calls; undefined leaves it to the app. */
  readonly staging: StagingMode | undefined;

  /**
   * Names a file; it need not be there yet.
   *
   * @param place A path, relative to the working directory, or a url. The member of an archive is
   * `zip:/path/archive.zip/inner/path`.
   * @throws {TypeError} When it is neither.
   */
  constructor(place: string | URL, options: FileStagingOptions = {}) {
    if (!(place instanceof URL) && (typeof place !== "string" || place === "")) {
      throw new TypeError(`Cannot take "${show(place)}" as a file: expected a path or a url`);
    }
    const given = String(place);
    const [, scheme = "file"] = SCHEME.exec(given) ?? [];
    this.scheme = scheme.toLowerCase();
    if (this.scheme === "file") {
      this.path = SCHEME.test(given) ? fileURLToPath(given) : resolve(process.cwd(), given);
      this.url = pathToFileURL(this.path).href;
    } else {
      const url = parseUrl(given);
      this.path = pathOf(url);
      // So that it is the same file wherever the script goes.
      this.url = this.scheme === "zip" ? `zip:${pathToFileURL(this.path).pathname}` : url.href;
    }
    this.name = basename(this.path);
    const { staging } = readOptions<FileStagingOptions>(options, "File", {
      staging: oneOf(...STAGING_MODES),
    });
    this.staging = staging;
  }

  /** Its path, of the scheme `file`, else its url; in a command of an app its name there. */
  toString(): string {
    return this.scheme === "file" ? this.path : this.url;
  }
}

/** The archive that a file of the scheme `zip` is in, and its name there. */
export interface ZipPlace {
  readonly archive: string;
  readonly member: string;
}

/** Splits the path of a file of the scheme `zip`: the first part that ends in `.zip` is the archive. */
export function zipPlaceOf({ path }: Pick<File, "path">): ZipPlace {
  const [, archive, member] = /^(.*?\.zip)\/+(.+)$/i.exec(path) ?? [];
  if (archive !== undefined && member !== undefined && !member.endsWith("/")) {
    return { archive, member };
  }
  throw new TypeError(
    `Cannot take "zip:${path}" as a file: expected zip:/path/archive.zip/inner/path`,
  );
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch (cause) {
    throw new TypeError(`Cannot take "${shownUrl(text)}" as a file: it is no url`, { cause });
  }
}

function pathOf({ protocol, pathname, href }: URL): string {
  let path: string;
  try {
    path = decodeURIComponent(pathname);
  } catch (cause) {
    throw new TypeError(`Cannot take "${shownUrl(href)}" as a file: it is no url`, { cause });
  }
  if (protocol !== "zip:") return path;
  const absolute = resolve(process.cwd(), path);
  zipPlaceOf({ path: absolute });
  return absolute;
}

/** A file as the function of a command app sees it: as text, it is its name in the sandbox. */
export class MountedFile extends File {
  /** Its name in the sandbox, of characters that a shell takes as they are. */
  readonly mount: string;

  /** Made for each call. */
  constructor(place: string | URL, mount: string) {
    super(place);
    this.mount = mount;
  }

  /** Its name in the sandbox. */
  override toString(): string {
    return this.mount;
  }
}
