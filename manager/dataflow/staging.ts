/**
 * Stagings: how files of a scheme come to where calls read them, and from where calls made them to
 * where they are to be. A plug point; each implementation passes the suite in
 * `tests/contract/staging.ts`.
 *
 * @module
 */

import type { Manager } from "../manager.ts";
import { messageOf } from "./app_error.ts";
import type { FailureKind } from "./executor.ts";
import type { File } from "./file.ts";
import type { PlacedFile } from "./placed_file.ts";

/**
 * How a file is brought to calls. `"task"`: once, apart from the calls, which share it; with a manager
 * each worker that needs it fetches it once. `"inside"`: by each try for itself, as part of it, and
 * let go of with it; what is there then is what is read.
 */
export type StagingMode = "task" | "inside";

/** Where a file is brought to, or comes from. */
export interface StagingSite {
  /** Label of the executor. */
  readonly executor: string;
  /** Its manager; undefined of an executor without one, whose tries read paths of this machine. */
  readonly manager: Manager | undefined;
  /** True of mode `"task"`: what is brought is for all calls, until the end of the flow. */
  readonly isShared: boolean;
  /** Ends when nobody needs the file any more. */
  readonly signal: AbortSignal;
  /**
   * A path of this machine that is nobody else's, in a folder of the flow's; removed with the flow, of
   * mode `"inside"` with the try.
   */
  newPath(name: string): Promise<string>;
  /**
   * Runs a command as a call of its own on that executor, which the tables show.
   *
   * @returns What it left at `output` in its working directory.
   * @throws {Error} When it failed.
   */
  run(command: string, files: StagingFiles): Promise<PlacedFile>;
}

/** Files of a command that stages. */
export interface StagingFiles {
  /** `{mount: file}` */
  readonly inputs?: { readonly [mount: string]: PlacedFile };
  /** Where it leaves what it made. */
  readonly output: string;
}

/** What stages files of some schemes. */
export interface Staging {
  /** Shown where it stages. */
  readonly name: string;
  /** Named where no staging takes a file. */
  readonly schemes: readonly string[];
  /** Whether it brings that file to calls. */
  canStageIn(file: File): boolean;
  /** Whether it brings what a call made to there. */
  canStageOut(file: File): boolean;
  /**
   * What tells contents of it from later ones: calls share what was brought of the same version.
   * Undefined shares nothing. Default: one version for the whole flow.
   */
  versionOf?(file: File): string | undefined;
  /**
   * Brings a file to where the tries of an executor can read it.
   *
   * @throws {StagingError} When it cannot be had; anything else that is thrown is taken as a transfer
   * that failed.
   */
  stageIn(file: File, site: StagingSite): PlacedFile | Promise<PlacedFile>;
  /**
   * Brings what a call made to its place: whole, or what was there before stays. May be called again
   * after it has failed.
   *
   * @throws {StagingError} As `stageIn`.
   */
  stageOut(file: File, made: PlacedFile, site: StagingSite): Promise<void>;
  /** True where executors that bring outputs there by themselves are left to. Default false. */
  readonly yields?: boolean;
}

/** A file that could not be brought. */
export class StagingError extends Error {
  /** Always `"StagingError"`. */
  override readonly name = "StagingError";
  /** `input_missing` where there is none, else `transfer_failed`. */
  readonly kind: Extract<FailureKind, "input_missing" | "transfer_failed">;

  /** Says why. */
  constructor(kind: StagingError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** What a staging threw, as an error of stagings. */
export function stagingErrorOf(error: unknown, what: string): StagingError {
  if (error instanceof StagingError) return error;
  return new StagingError("transfer_failed", `${what}: ${messageOf(error)}`, { cause: error });
}
