import type { ErrorCode } from './constants.ts';

/** A breach of the protocol: it ends a stream or, when it concerns all of them, the connection. */
export class Http2Error extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'Http2Error';
    this.code = code;
  }
}
