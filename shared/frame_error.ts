/** The error of a frame that must not be read, or cannot be written. */

/** Why a frame was refused. */
export type FrameFault =
  /** Above a limit, before or after inflating. */
  | "too_large"
  /** Not CBOR, cut short, or followed by something else. */
  | "malformed"
  /** CBOR that the wire does not use: tags, indefinite lengths, inexact integers, deep nesting. */
  | "forbidden"
  /** A message of a kind that this side does not take. */
  | "unknown_kind"
  /** A message with a field missing, of another type, or out of range. */
  | "wrong_shape";

/** Thrown for a frame that breaks the rules of the wire; it ends one connection, no more. */
export class FrameError extends Error {
  override readonly name = "FrameError";
  readonly reason: FrameFault;

  constructor(reason: FrameFault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
