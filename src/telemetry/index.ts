export * from './exposition.ts';
export * from './histogram.ts';
