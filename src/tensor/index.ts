export * from './bytes-tensor.ts';
export * from './data-type.ts';
export * from './json-data.ts';
export * from './shape.ts';
export * from './tensor.ts';
