/**
 * Paths of this machine at which files are declared, so that what is to be unlinked when it is done
 * goes with the last declaration of it: another one may be read yet.
 */

interface Use {
  count: number;
  isUnlinked: boolean;
}

/** Counts the declarations of each path. */
export class PathUse {
  readonly #uses: Map<string, Use> = new Map();

  /** Notes a declaration of `path`; `isUnlinked` when what is there is to go with the last one. */
  add(path: string, isUnlinked: boolean): void {
    const use = this.#uses.get(path);
    if (use === undefined) return void this.#uses.set(path, { count: 1, isUnlinked });
    use.count += 1;
    use.isUnlinked ||= isUnlinked;
  }

  /** Ends a declaration of `path`; true when what is there is to be removed now. */
  drop(path: string): boolean {
    const use = this.#uses.get(path);
    if (use === undefined) return false;
    use.count -= 1;
    if (use.count > 0) return false;
    this.#uses.delete(path);
    return use.isUnlinked;
  }

  /** Ends all declarations; returns what is to be removed. */
  dropAll(): string[] {
    const paths = [...this.#uses].filter(([, { isUnlinked }]) => isUnlinked).map(([path]) => path);
    this.#uses.clear();
    return paths;
  }
}
