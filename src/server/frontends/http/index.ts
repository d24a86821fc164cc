export { listenHttp } from './node-adapter.ts';
export { createHeaderForwarding, NO_FORWARDING } from './header-forwarding.ts';
export { createHttpHandler } from './router.ts';
