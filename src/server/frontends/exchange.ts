import type { ServerError } from '../../core/index.ts';

/** A whole HTTP request, free of the library that received it. */
export interface HttpRequest {
  readonly method: string;
  /** The request target as sent. */
  readonly target: string;
  /** A header's value by its lower-case name. */
  header(name: string): string | undefined;
  /** All headers, under their names as sent. */
  headers(): Iterable<readonly [string, string]>;
  /** When its head and when its whole body were there, in nanoseconds of the server's clock. */
  readonly arrivedAt: number;
  readonly readAt: number;
  /** The body, decompressed. Above about 1 MiB it lies in a `SharedArrayBuffer` of its own. */
  readonly body: Uint8Array;
}

/** A whole HTTP response. */
export interface HttpReply {
  readonly status: number;
  readonly contentType: string;
  readonly headers?: readonly (readonly [string, string])[];
  /** Written one after the other. */
  readonly body: readonly Uint8Array[];
  /** Called when the body's bytes are no longer needed. */
  readonly release?: () => void;
}

/** Where the body of a streamed response goes. */
export interface BodyStream {
  write(chunk: string): void;
  end(): void;
}

/** A response whose body comes little by little; nothing is sent before `start` writes. */
export interface HttpStreamReply {
  readonly status: number;
  readonly contentType: string;
  readonly start: (body: BodyStream) => void;
}

/**
 * Turns a request into a reply. Whoever moves the bytes needs to know nothing else.
 * @returns a function to call when the client goes away before the reply
 */
export type HttpHandler = (
  request: HttpRequest,
  reply: (reply: HttpReply | HttpStreamReply) => void,
) => (() => void) | undefined;

export const JSON_TYPE = 'application/json';
export const TEXT_TYPE = 'text/plain';

const NOTHING: readonly Uint8Array[] = [];

export function jsonReply(status: number, json: string): HttpReply {
  return { status, contentType: JSON_TYPE, body: [Buffer.from(json)] };
}

/** A 200 without a body, as Triton answers calls that return nothing. */
export function emptyReply(status: number, contentType: string): HttpReply {
  return { status, contentType, body: NOTHING };
}

/** How errors of inference are answered. */
export type ErrorReplies = (error: ServerError, contentType?: string) => HttpReply;

/** When a client that was told to come back may do so. */
const RETRY_AFTER_SECONDS = 1;

/** @param overloadStatus the status of a request that was not taken because too many wait already */
export function createErrorReplies(overloadStatus: number): ErrorReplies {
  return (error, contentType = JSON_TYPE) => {
    const reply = errorReply(error.overload ? overloadStatus : error.httpStatus, error.message, contentType);
    if (!error.overload || overloadStatus !== TOO_MANY_REQUESTS) return reply;
    return { ...reply, headers: [['Retry-After', String(RETRY_AFTER_SECONDS)]] };
  };
}

export const TOO_MANY_REQUESTS = 429;

/** `{"error": message}`. Errors found before a request is parsed are `text/plain` in Triton, later ones JSON. */
export function errorReply(status: number, message: string, contentType: string = JSON_TYPE): HttpReply {
  return { status, contentType, body: [Buffer.from(JSON.stringify({ error: message }))] };
}
