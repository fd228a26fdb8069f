/**
 * Where a symbolic link of a tree leads, told from the links of the tree alone.
 *
 * The whole tree is known when this is asked, so the answer is that of the disk, hops over other
 * links included, and no link has to be on the disk yet.
 */

/** Links that one resolution may follow: ELOOP of Linux. */
const HOPS_MAX = 40;
/** Parts that one resolution may walk; a hostile chain of links could make it long. */
const STEPS_MAX = 4_096;

/**
 * Returns why the link at `path` may not be in the tree, or undefined when it stays inside.
 *
 * A target that does not exist is judged as if it were a directory. `links` is {path: link}.
 */
export function findLinkFault(
  path: string,
  links: ReadonlyMap<string, { readonly target: string }>,
): string | undefined {
  const target = links.get(path)?.target ?? "";
  const shown = `its target ${JSON.stringify(target.slice(0, 200))}`;
  /** Parts still to walk, the next one last. */
  const todo = path.split("/").reverse();
  const at: string[] = [];
  let hopCount = 0;
  for (let stepCount = 0; todo.length > 0; stepCount++) {
    if (stepCount === STEPS_MAX) return `${shown} takes more than ${STEPS_MAX} steps`;
    const part = todo.pop();
    if (part === undefined || part === "" || part === ".") continue;
    if (part === "..") {
      if (at.pop() === undefined) return `${shown} leaves the tree`;
      continue;
    }
    at.push(part);
    const next = links.get(at.join("/"))?.target;
    if (next === undefined) continue;
    if (next.startsWith("/")) return `${shown} is or leads to an absolute path`;
    if (++hopCount > HOPS_MAX) return `${shown} goes in a circle or over ${HOPS_MAX} links`;
    at.pop();
    todo.push(...next.split("/").reverse());
  }
  return undefined;
}
