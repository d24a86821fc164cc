export * from './infer-request-codec.ts';
export * from './infer-response-codec.ts';
export * from './inference.ts';
export * from './json-text.ts';
export * from './kserve-json.ts';
export * from './model-config.ts';
export * from './model-config-json.ts';
export * from './parameters.ts';
