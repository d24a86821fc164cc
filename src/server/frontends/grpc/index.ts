export type { ConnectionLimits } from './connection-limits.ts';
export { listenGrpc, type TlsOptions } from './node-adapter.ts';
export { createGrpcService } from './service.ts';
