/** The closed set of error codes, as in Triton's `TRITONSERVER_Error_Code`. */
export const ERROR_CODES = [
  'UNKNOWN',
  'INTERNAL',
  'NOT_FOUND',
  'INVALID_ARG',
  'UNAVAILABLE',
  'UNSUPPORTED',
  'ALREADY_EXISTS',
  'CANCELLED',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** HTTP status by code: what Triton's HTTP front end answers. */
const HTTP_STATUS: Record<ErrorCode, number> = {
  UNKNOWN: 400,
  INTERNAL: 500,
  NOT_FOUND: 404,
  INVALID_ARG: 400,
  UNAVAILABLE: 503,
  UNSUPPORTED: 501,
  ALREADY_EXISTS: 400,
  CANCELLED: 400,
};

/** gRPC status number by code (https://grpc.io/docs/guides/status-codes/). */
const GRPC_STATUS: Record<ErrorCode, number> = {
  UNKNOWN: 2,
  INTERNAL: 13,
  NOT_FOUND: 5,
  INVALID_ARG: 3,
  UNAVAILABLE: 14,
  UNSUPPORTED: 12,
  ALREADY_EXISTS: 6,
  CANCELLED: 1,
};

/**
 * The one error type that crosses a module boundary. The message names the thing, the value and the limit;
 * front ends turn the code into a status.
 */
export class ServerError extends Error {
  readonly code: ErrorCode;
  /** The server has too much to do: the same request may succeed later. */
  readonly overload: boolean;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; overload?: boolean } = {}) {
    super(message, options);
    this.name = 'ServerError';
    this.code = code;
    this.overload = options.overload ?? false;
  }

  get httpStatus(): number {
    return HTTP_STATUS[this.code];
  }

  get grpcStatus(): number {
    return GRPC_STATUS[this.code];
  }
}

/** Anything thrown, as a `ServerError`; what is not one already becomes `INTERNAL` with the original as its cause. */
export function toServerError(thrown: unknown): ServerError {
  if (thrown instanceof ServerError) return thrown;
  return new ServerError('INTERNAL', errorMessage(thrown), { cause: thrown });
}

/** How Triton spells a code in front of a message. */
const SPELLING: Record<ErrorCode, string> = {
  UNKNOWN: 'Unknown',
  INTERNAL: 'Internal',
  NOT_FOUND: 'Not found',
  INVALID_ARG: 'Invalid argument',
  UNAVAILABLE: 'Unavailable',
  UNSUPPORTED: 'Unsupported',
  ALREADY_EXISTS: 'Already exists',
  CANCELLED: 'Cancelled',
};

/** Code and message, as Triton gives the reason of a failed load: `Internal: ...`. */
export function describeError(thrown: unknown): string {
  const { code, message } = toServerError(thrown);
  return `${SPELLING[code]}: ${message}`;
}

/** A message with the id of its request in front, as Triton writes it. */
export function withRequestId(id: string, message: string): string {
  return `[request id: ${id === '' ? '<id_unknown>' : id}] ${message}`;
}

/** The text of anything thrown. */
export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

export function invalidArgument(message: string): ServerError {
  return new ServerError('INVALID_ARG', message);
}

export function internalError(message: string): ServerError {
  return new ServerError('INTERNAL', message);
}

export function notFound(message: string): ServerError {
  return new ServerError('NOT_FOUND', message);
}

export function unsupported(message: string): ServerError {
  return new ServerError('UNSUPPORTED', message);
}
