export { listenHttp } from './http1/index.ts';
export { createHeaderForwarding, NO_FORWARDING } from './header-forwarding.ts';
export { createHttpHandler } from './router.ts';
