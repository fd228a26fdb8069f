/** The terminal that a command or a script writes to while Tendril draws on it. */

import process from "node:process";

/** Ways of the console to write; the runtime does not pass them through the streams. */
const CONSOLE_METHODS = ["log", "info", "warn", "error", "debug", "table", "dir", "trace"] as const;

/** Rows and columns of a terminal that does not tell them. */
const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;

/** What is drawn on: as `process.stderr`, but not subject to `beforeOutput`. */
export interface Terminal {
  /** False of a pipe, a file, and a terminal that is too dumb to have lines redrawn. */
  readonly isTTY: boolean;
  /** False where the user wants none: https://no-color.org. */
  readonly hasColours: boolean;
  /** At this moment. */
  readonly columns: number;
  /** At this moment. */
  readonly rows: number;
  write(text: string): unknown;
}

/**
 * Told before something else of this process is written; `isLineOpen` when that leaves a line of the
 * terminal without its end, to which nothing may be added.
 */
export type ClearLine = (isLineOpen: boolean) => void;

/** Standard error. */
export function standardError(): Terminal {
  return terminalOf(process.stderr, process.env);
}

/** Standard output. */
export function standardOutput(): Terminal {
  return terminalOf(process.stdout, process.env);
}

/** What `stream` writes to, in that environment. */
export function terminalOf(
  stream: Pick<NodeJS.WriteStream, "isTTY" | "columns" | "rows" | "write">,
  env: { readonly [name: string]: string | undefined },
): Terminal {
  const write = stream.write.bind(stream);
  const isTTY = stream.isTTY === true && env["TERM"] !== "dumb";
  return {
    isTTY,
    hasColours: isTTY && (env["NO_COLOR"] ?? "") === "",
    // A terminal may say 0.
    get columns() {
      return stream.columns || COLUMNS_DEFAULT;
    },
    get rows() {
      return stream.rows || ROWS_DEFAULT;
    },
    write: (text) => write(text),
  };
}

/**
 * Calls `clear` each time before something else of this process is written, so that it does not
 * run into what is drawn; returns how to stop.
 */
export function beforeOutput(clear: ClearLine): () => void {
  const undo: (() => void)[] = [];
  const clearBefore = <O extends object, K extends keyof O>(
    owner: O,
    name: K,
    isOpen: (args: readonly unknown[]) => boolean,
  ): void => {
    const original = owner[name];
    if (typeof original !== "function") return;
    const write = (...args: unknown[]): unknown => {
      clear(isOpen(args));
      return original.apply(owner, args);
    };
    Object.assign(owner, { [name]: write });
    undo.push(() => void (owner[name] = original));
  };
  const { console } = globalThis;
  for (const method of CONSOLE_METHODS) clearBefore(console, method, () => false);
  for (const stream of [process.stdout, process.stderr]) {
    clearBefore(stream, "write", ([chunk]) => stream.isTTY === true && !endsLine(chunk));
  }
  return () => undo.forEach((restore) => restore());
}

function endsLine(chunk: unknown): boolean {
  if (typeof chunk === "string") return chunk.endsWith("\n");
  return chunk instanceof Uint8Array && chunk.at(-1) === "\n".charCodeAt(0);
}
