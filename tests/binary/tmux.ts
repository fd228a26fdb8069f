/** A terminal as a person has one: Debian's tmux, on a server of its own. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";

import { join } from "@std/path";

import { until } from "../until.ts";
import { BINARY } from "./built.ts";

/** True where there is a program of that name. */
export function hasProgram(name: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${name}`], { stdio: "ignore" }).status === 0;
}

/** What is run, and in a window of which size. */
export interface TmuxOptions {
  /** Default an interactive bash that reads no file; its prompt is "$ ". */
  readonly command?: string;
  readonly columns?: number;
  readonly rows?: number;
  /** Added to its environment. */
  readonly env?: { readonly [name: string]: string };
}

/** One window, with a home and a folder of its own in which `tendril` is found. */
export class Tmux implements Disposable {
  readonly folder: string;
  readonly #socket: string;
  readonly #env: { readonly [name: string]: string };

  constructor(
    { command = "env PS1='$ ' bash --norc --noprofile", columns = 100, rows = 30, env = {} }:
      TmuxOptions = {},
  ) {
    this.folder = mkdtempSync(join(tmpdir(), "tendril-tmux-"));
    this.#socket = join(this.folder, "socket");
    symlinkSync(BINARY, join(this.folder, "tendril"));
    // Of the server and of the client: tmux gives a window the PATH of the client.
    this.#env = {
      PATH: `${this.folder}:${process.env["PATH"]}`,
      HOME: this.folder,
      TMPDIR: this.folder,
      LANG: "C.UTF-8",
      TERM: "xterm-256color",
      TENDRIL_RUN_DIRECTORY: "none",
      ...env,
    };
    const size = ["-x", String(columns), "-y", String(rows)];
    this.#tmux("-f", "/dev/null", "new-session", "-d", ...size, "-c", this.folder, command);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Keys as tmux names them, text as it is. */
  press(...keys: string[]): void {
    this.#tmux("send-keys", ...keys);
  }

  /** Types a line and its end. */
  type(line: string): void {
    this.#tmux("send-keys", "-l", line);
    this.press("Enter");
  }

  resize(columns: number, rows: number): void {
    this.#tmux("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** Lines as a person sees them, less empty ones at the end. */
  lines(): string[] {
    return this.#tmux("capture-pane", "-p").trimEnd().split("\n").map((line) => line.trimEnd());
  }

  /** Waits until the screen is as `isRight` says; resolves with it. */
  async until(isRight: (lines: readonly string[]) => boolean, what: string): Promise<string[]> {
    let lines: string[] = [];
    const look = (): boolean => {
      lines = this.lines();
      return isRight(lines);
    };
    try {
      await until(look, what);
    } catch (error) {
      throw new Error(`${what}, but the screen is:\n${lines.join("\n")}`, { cause: error });
    }
    return lines;
  }

  [Symbol.dispose](): void {
    this.#tmux("kill-server");
    rmSync(this.folder, { recursive: true, force: true });
  }

  #tmux(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync("tmux", ["-S", this.#socket, ...args], {
      encoding: "utf8",
      env: this.#env,
    });
    if (status !== 0) throw new Error(`Cannot run tmux ${args.join(" ")}: ${stderr}`);
    return stdout;
  }
}
