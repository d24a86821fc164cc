export { Engine, notSupported } from './engine.ts';
export type { LoadedModel } from './loaded-model.ts';
export { configOverride } from './load-parameters.ts';
export { type EngineOptions, MODEL_CONTROL_MODES } from './options.ts';
export { cudaMemoryRefusal } from './shared-memory.ts';
export { sharedMemoryOutputs } from './shared-memory-outputs.ts';
export { FAILURE_REASONS, type ModelStatistics } from './statistics.ts';
export { modelMetadata, statisticsView } from './views.ts';
export { TRACE_OFF } from './trace-settings.ts';
