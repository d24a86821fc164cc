export { errorReply, type HttpHandler } from './exchange.ts';
export { listenHttp } from './node-adapter.ts';
export { createHttpHandler } from './router.ts';
