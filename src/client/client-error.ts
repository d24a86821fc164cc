/** What went wrong: no connection, one that broke, an answer that is not of the protocol, or the server's own error. */
export const FAILURES = ['connect', 'closed', 'protocol', 'server', 'timeout'] as const;
export type Failure = (typeof FAILURES)[number];

/** A call that did not succeed. */
export class ClientError extends Error {
  readonly failure: Failure;
  /** The HTTP status or gRPC code of the server's error. */
  readonly status: number | undefined;

  constructor(failure: Failure, message: string, status?: number) {
    super(message);
    this.name = 'ClientError';
    this.failure = failure;
    this.status = status;
  }
}
