export type { ConnectionLimits } from './connection-limits.ts';
export { listenGrpc } from './adapter.ts';
export { type TlsOptions } from './http2/index.ts';
export { createGrpcService } from './service.ts';
