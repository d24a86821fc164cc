export * from './clock.ts';
export * from './did-you-mean.ts';
export * from './log-settings.ts';
export * from './logger.ts';
export * from './server-error.ts';
export * from './worker-url.ts';
