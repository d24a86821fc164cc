export * from './devices.ts';
export * from './model-source.ts';
export * from './normalize.ts';
export * from './pbtxt/index.ts';
export * from './platforms.ts';
export * from './scan.ts';
export * from './validate.ts';
