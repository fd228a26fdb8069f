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

/** Where a link leads: to something in the tree, to an absolute path, or where none may. */
export type LinkEnd =
  | { readonly kind: "inside" | "absolute" }
  | { readonly kind: "fault"; readonly fault: string };

/**
 * Returns why the link at `path` may not be in the tree, or undefined when it stays inside.
 *
 * A target that does not exist is judged as if it were a directory. `links` is {path: link}.
 */
export function findLinkFault(
  path: string,
  links: ReadonlyMap<string, { readonly target: string }>,
): string | undefined {
  const end = followLink(path, links);
  if (end.kind === "fault") return end.fault;
  if (end.kind === "inside") return undefined;
  return `${showTarget(path, links)} is or leads to an absolute path`;
}

/** Returns where the link at `path` leads, by the rules of `findLinkFault`. */
export function followLink(
  path: string,
  links: ReadonlyMap<string, { readonly target: string }>,
): LinkEnd {
  const fault = (found: string): LinkEnd => {
    return { kind: "fault", fault: `${showTarget(path, links)} ${found}` };
  };
  /** Parts still to walk, the next one last. */
  const todo = path.split("/").reverse();
  const at: string[] = [];
  let hopCount = 0;
  for (let stepCount = 0; todo.length > 0; stepCount++) {
    if (stepCount === STEPS_MAX) return fault(`takes more than ${STEPS_MAX} steps`);
    const part = todo.pop();
    if (part === undefined || part === "" || part === ".") continue;
    if (part === "..") {
      if (at.pop() === undefined) return fault("leaves the tree");
      continue;
    }
    at.push(part);
    const next = links.get(at.join("/"))?.target;
    if (next === undefined) continue;
    if (next.startsWith("/")) return { kind: "absolute" };
    if (++hopCount > HOPS_MAX) return fault(`goes in a circle or over ${HOPS_MAX} links`);
    at.pop();
    todo.push(...next.split("/").reverse());
  }
  return { kind: "inside" };
}

function showTarget(
  path: string,
  links: ReadonlyMap<string, { readonly target: string }>,
): string {
  return `its target ${JSON.stringify((links.get(path)?.target ?? "").slice(0, 200))}`;
}
