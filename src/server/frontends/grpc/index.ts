export { type GrpcListener, listenGrpc } from './node-adapter.ts';
export { createGrpcService } from './service.ts';
