/** Ends a view on a terminal: `q`, Ctrl-C, or a signal. */

import process from "node:process";

/** Exit codes of a process that a signal ended, as shells tell them: 128 and its number. */
const SIGNAL_EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Keys as a terminal sends them in raw mode. */
const INTERRUPT = "\x03";
const SUSPEND = "\x1a";

/** Listens until it is disposed of; the terminal is then as it was. */
export class QuitKeys implements Disposable {
  /** Resolves to the exit code. */
  readonly ended: Promise<number>;
  readonly #undo: (() => void)[] = [];
  readonly #end: (exitCode: number) => void;
  readonly #onMoved: () => void;

  /** `onMoved` is told when the terminal has another size, or the process was stopped meanwhile. */
  constructor({ hasKeys, onMoved }: { readonly hasKeys: boolean; readonly onMoved: () => void }) {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.ended = promise;
    this.#end = resolve;
    this.#onMoved = onMoved;
    for (const [signal, code] of Object.entries(SIGNAL_EXIT_CODES)) {
      this.#on(signal as NodeJS.Signals, () => resolve(code));
    }
    this.#on("SIGWINCH", onMoved);
    if (hasKeys && process.stdin.isTTY === true) this.#listen();
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo.reverse()) undo();
  }

  #on(signal: NodeJS.Signals, listener: () => void): void {
    process.on(signal, listener);
    this.#undo.push(() => process.off(signal, listener));
  }

  #listen(): void {
    const { stdin } = process;
    const onData = (bytes: Uint8Array): void => {
      const keys = new TextDecoder().decode(bytes);
      if (keys.includes(INTERRUPT)) this.#end(SIGNAL_EXIT_CODES.SIGINT);
      else if (/q/i.test(keys)) this.#end(0);
      else if (keys.includes(SUSPEND)) this.#suspend();
    };
    stdin.setRawMode(true);
    stdin.on("data", onData);
    stdin.resume();
    this.#undo.push(() => {
      stdin.off("data", onData);
      stdin.setRawMode(false);
      stdin.pause();
      stdin.unref();
    });
  }

  /** As Ctrl-Z does elsewhere; goes on where the shell lets it. */
  #suspend(): void {
    const { stdin } = process;
    stdin.setRawMode(false);
    process.once("SIGCONT", () => {
      stdin.setRawMode(true);
      this.#onMoved();
    });
    process.kill(process.pid, "SIGTSTP");
  }
}
