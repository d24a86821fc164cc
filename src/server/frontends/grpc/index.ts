export { listenGrpc } from './node-adapter.ts';
export { createGrpcService } from './service.ts';
