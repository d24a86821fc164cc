import { type ErrorCode, type ServerError, toServerError } from '../../../core/index.ts';
import { type HttpReply, jsonReply } from '../exchange.ts';

/** A request that is not as it should be; `param` names the field. */
export class OpenAiError extends Error {
  readonly status: number;
  readonly param: string | null;
  readonly code: string | null;

  constructor(status: number, message: string, param: string | null = null, code: string | null = null) {
    super(message);
    this.name = 'OpenAiError';
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

export function invalidField(param: string, message: string): OpenAiError {
  return new OpenAiError(400, message, param);
}

/** OpenAI's `type` and `code` for the server's errors. */
const KINDS: Readonly<Partial<Record<ErrorCode, readonly [type: string, code: string | null]>>> = {
  NOT_FOUND: ['invalid_request_error', 'model_not_found'],
  INVALID_ARG: ['invalid_request_error', null],
  UNSUPPORTED: ['invalid_request_error', null],
  CANCELLED: ['invalid_request_error', null],
  UNAVAILABLE: ['service_unavailable_error', null],
};

/** `{"error": {message, type, param, code}}` (https://platform.openai.com/docs/guides/error-codes). */
export function errorBody(thrown: unknown): string {
  if (thrown instanceof OpenAiError) {
    const { message, param, code } = thrown;
    const type = thrown.status >= 500 ? 'server_error' : 'invalid_request_error';
    return JSON.stringify({ error: { message, type, param, code } });
  }
  const error = toServerError(thrown);
  const [type, code] = error.overload
    ? ['rate_limit_error', 'rate_limit_exceeded']
    : (KINDS[error.code] ?? ['server_error', null]);
  return JSON.stringify({ error: { message: error.message, type, param: null, code } });
}

export function errorStatus(thrown: unknown): number {
  if (thrown instanceof OpenAiError) return thrown.status;
  const error: ServerError = toServerError(thrown);
  // OpenAI's clients try again after this one.
  return error.overload ? 429 : error.httpStatus;
}

export function errorAnswer(thrown: unknown): HttpReply {
  return jsonReply(errorStatus(thrown), errorBody(thrown));
}
