export type * from './contract.ts';
export { DirectScheduler } from './direct.ts';
export { type DynamicBatchingOptions, DynamicScheduler } from './dynamic.ts';
