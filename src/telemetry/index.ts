export * from './custom-metrics.ts';
export * from './exposition.ts';
export * from './histogram.ts';
export * from './request-trace.ts';
export * from './summary.ts';
