import {
  type Arrival,
  type InferenceRequest,
  NO_PARAMETERS,
  type Parameters,
  type ParameterValue,
} from '../../../protocol/index.ts';
import type { Engine } from '../../engine/index.ts';
import type { HttpRequest } from '../exchange.ts';

/** Headers that become request parameters (`--http-header-forward-pattern`). */
export interface HeaderForwarding {
  parameters(http: HttpRequest): Parameters;
}

export const NO_FORWARDING: HeaderForwarding = { parameters: () => NO_PARAMETERS };

/** A request with what its headers say: forwarded parameters, and which version of a split model its client is tied to. */
export function withHeaders(
  request: InferenceRequest,
  http: HttpRequest,
  forwarding: HeaderForwarding,
  engine: Engine,
): InferenceRequest {
  const parameters = forwarding.parameters(http);
  const header = engine.stickyHeader(request.modelName);
  const stickiness = header === undefined ? undefined : http.header(header);
  const arrival = engine.tracing ? arrivalOf(http) : undefined;
  if (parameters === NO_PARAMETERS && stickiness === undefined && !arrival) return request;
  return {
    ...request,
    ...(arrival ? { arrival } : {}),
    parameters: { ...parameters, ...request.parameters },
    ...(stickiness === undefined ? {} : { stickiness }),
  };
}

function arrivalOf(http: HttpRequest): Arrival {
  const traceparent = http.header('traceparent');
  return { protocol: 'HTTP', startNs: http.arrivedAt, endNs: http.readAt, traceparent };
}

/** @param pattern a whole header name must match it, in any case; `.*` takes all of them */
export function createHeaderForwarding(pattern: RegExp): HeaderForwarding {
  return {
    parameters(http) {
      const forwarded: Record<string, ParameterValue> = {};
      for (const [name, value] of http.headers()) if (pattern.test(name)) forwarded[name] = value;
      return forwarded;
    },
  };
}
