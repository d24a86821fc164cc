import { invalidArgument } from '../../../core/index.ts';
import { bufferOf, isJsonObject, type JsonObject, parseJsonText } from '../../../protocol/index.ts';
import type { Engine } from '../../engine/index.ts';
import type { ServerIdentity } from '../identity.ts';
import type { RestrictedApi } from '../restrictions.ts';
import type { HttpReply, HttpRequest } from '../exchange.ts';

/** What a route's function gets. */
export interface Call {
  readonly engine: Engine;
  readonly identity: ServerIdentity;
  readonly http: HttpRequest;
  readonly name: string;
  readonly version: string;
}

export interface Route {
  /** The group that `--http-restricted-api` names it by. */
  readonly api: RestrictedApi;
  readonly methods: readonly ('GET' | 'POST')[];
  /** Refused when it comes from a foreign web page. */
  readonly changesState?: boolean;
  /** Says 405 as `text/plain`, as Triton does on some paths. */
  readonly plain?: boolean;
  readonly handle: (call: Call) => HttpReply | Promise<HttpReply>;
}

export const GET_ONLY = ['GET'] as const;
export const POST_ONLY = ['POST'] as const;
export const BOTH = ['GET', 'POST'] as const;

/** The JSON object in a request's body; an empty body is an empty object. */
export function bodyObject(http: HttpRequest): JsonObject {
  if (http.body.length === 0) return {};
  const json = parseJsonText(bufferOf(http.body).toString('utf8'));
  if (!isJsonObject(json)) throw invalidArgument('the request body must be a JSON object');
  return json;
}
