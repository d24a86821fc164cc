import type { HttpRequest } from '../exchange.ts';

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\]|::1)$/;

/** The host part of a `Host` header or an origin, without the port. */
function hostOf(authority: string): string {
  return authority.replace(/:\d*$/, '').toLowerCase();
}

/**
 * Why a state-changing request must be refused: a web page somewhere else sent it (`Origin`), or a name that points to
 * this machine without being its own (`Host`, when the server listens on a loopback address). `undefined` when it may pass.
 */
export function foreignRequest(request: HttpRequest, boundTo: string): string | undefined {
  const host = request.header('host');
  if (host !== undefined && isLoopback(boundTo) && !isLoopback(hostOf(host))) {
    return `host '${host}' is not this server's: state-changing requests must name a loopback address`;
  }
  const origin = request.header('origin');
  if (origin === undefined) return undefined;
  const match = /^https?:\/\/([^/]+)$/.exec(origin);
  if (match?.[1] !== undefined && host !== undefined && match[1].toLowerCase() === host.toLowerCase()) return undefined;
  return `origin '${origin}' may not change this server's state`;
}

function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}
