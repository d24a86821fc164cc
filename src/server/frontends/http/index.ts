export { type HttpListener, listenHttp } from './node-adapter.ts';
export { createHttpHandler, type HttpFrontendOptions } from './router.ts';
export { emptyReply, errorReply, type HttpHandler, type HttpReply, type HttpRequest } from './exchange.ts';
