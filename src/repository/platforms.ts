/** What Triton derives from a `platform` or `backend` name. */
export interface BackendDefaults {
  readonly backend: string;
  /** File (or folder) inside a version folder when `default_model_filename` is not given. */
  readonly modelFilename: string;
  /** Instances of a model on the CPU when the configuration has no `instance_group`. */
  readonly cpuInstances: number;
}

const PLATFORM_BACKEND: Readonly<Record<string, string>> = {
  onnxruntime_onnx: 'onnxruntime',
  pytorch_libtorch: 'pytorch',
  tensorrt_plan: 'tensorrt',
  tensorflow_savedmodel: 'tensorflow',
  tensorflow_graphdef: 'tensorflow',
};

const BACKENDS: readonly BackendDefaults[] = [
  { backend: 'onnxruntime', modelFilename: 'model.onnx', cpuInstances: 2 },
  { backend: 'python', modelFilename: 'model.py', cpuInstances: 1 },
  { backend: 'node', modelFilename: 'model.ts', cpuInstances: 1 },
  { backend: 'node', modelFilename: 'model.js', cpuInstances: 1 },
  { backend: 'node', modelFilename: 'model.mjs', cpuInstances: 1 },
  { backend: 'llama', modelFilename: 'model.gguf', cpuInstances: 1 },
  { backend: 'tfjs', modelFilename: 'model.json', cpuInstances: 1 },
  { backend: 'pytorch', modelFilename: 'model.pt', cpuInstances: 1 },
  { backend: 'tensorrt', modelFilename: 'model.plan', cpuInstances: 1 },
  { backend: 'tensorflow', modelFilename: 'model.savedmodel', cpuInstances: 1 },
];

/** The platform of models that are graphs of other models: no backend serves it. */
export const ENSEMBLE_PLATFORM = 'ensemble';

/** The backend that serves a platform name, `undefined` for an unknown one. */
export function backendOfPlatform(platform: string): string | undefined {
  return PLATFORM_BACKEND[platform];
}

export function platformNames(): readonly string[] {
  return [...Object.keys(PLATFORM_BACKEND), ENSEMBLE_PLATFORM];
}

/** The platform that older configurations and metadata show for a backend. */
export function platformOfBackend(backend: string): string | undefined {
  return Object.entries(PLATFORM_BACKEND).find(([, name]) => name === backend)?.[0];
}

export function backendDefaults(backend: string): BackendDefaults {
  return BACKENDS.find((entry) => entry.backend === backend) ?? { backend, modelFilename: '', cpuInstances: 1 };
}

/** The backend whose model file lies in a version folder: how a model without a configuration is recognised. */
export function backendOfFiles(names: readonly string[]): BackendDefaults | undefined {
  return BACKENDS.find((entry) => names.includes(entry.modelFilename));
}
