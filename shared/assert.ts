/** Assertions that stay on in production: a wrong state must stop, not spread. */

/** Thrown when the program itself is wrong; never caught, never retried. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws unless `condition` holds; `message` says what was expected, with the values. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Fails the type check when a union gains a member that a `switch` does not handle. */
export function unreachable(value: never): never {
  throw new AssertionError(`Unexpected value: ${JSON.stringify(value)}`);
}
