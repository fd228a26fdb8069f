/** Files as workflows name them: by a path or a url. */

import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

import { basename, resolve } from "@std/path";

import { show } from "../option.ts";

/** What a url begins with; one letter is no scheme. */
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]+):/;

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

  /**
   * Names a file; it need not be there yet.
   *
   * @param place A path, relative to the working directory, or a url.
   * @throws {TypeError} When it is neither.
   */
  constructor(place: string | URL) {
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
      const url = new URL(given);
      this.url = url.href;
      this.path = decodeURIComponent(url.pathname);
    }
    this.name = basename(this.path);
  }

  /** Its path, of the scheme `file`, else its url; in a command of an app its name there. */
  toString(): string {
    return this.scheme === "file" ? this.path : this.url;
  }
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
