import type { ModelConfig } from '../protocol/index.ts';

/** An input or output as a model's metadata describe it; -1 stands for a dimension of any size. */
export interface TensorMetadata {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

/** How often something happened, and how long it took altogether. */
export interface Duration {
  readonly count: number;
  readonly ns: number;
}

export const DURATIONS = [
  'success',
  'fail',
  'queue',
  'compute_input',
  'compute_infer',
  'compute_output',
  'cache_hit',
  'cache_miss',
] as const;
export type DurationName = (typeof DURATIONS)[number];

/** What a server has counted for one version of a model since it was loaded. */
export interface ModelStatistics {
  readonly name: string;
  readonly version: string;
  readonly inferenceCount: number;
  readonly executionCount: number;
  readonly durations: Readonly<Record<DurationName, Duration>>;
}

/** The calls of KServe v2 besides inference. Each throws {@link ClientError}. */
export interface KserveClient {
  serverReady(): Promise<boolean>;
  modelMetadata(model: string, version: string): Promise<ModelMetadata>;
  modelConfig(model: string, version: string): Promise<ModelConfig>;
  /** Of one model or, with an empty name, of all. */
  statistics(model: string, version: string): Promise<readonly ModelStatistics[]>;
  registerSystemMemory(name: string, key: string, byteSize: number): Promise<void>;
  unregisterSystemMemory(name: string): Promise<void>;
  /** Changes the trace settings of a model. */
  traceSettings(model: string, settings: Readonly<Record<string, readonly string[]>>): Promise<void>;
  close(): void;
}
