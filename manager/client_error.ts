/** What goes wrong between a client and its manager. */

/** Why a client did not get what it asked for. */
export type ClientErrorCode =
  /** The manager has ended, or nothing answers. */
  | "gone"
  /** Something answers, and does not take this client. */
  | "refused"
  /** The request makes no sense to the manager: asking again is useless. */
  | "usage"
  /** The manager could not do it. */
  | "failed";

/** Thrown for a manager that cannot be asked, and for what it answers with a refusal. */
export class ClientError extends Error {
  /** Always `"ClientError"`. */
  override readonly name = "ClientError";
  /** Why. */
  readonly code: ClientErrorCode;

  /** Made by connections to a manager. */
  constructor(code: ClientErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
