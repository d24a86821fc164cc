import type { Backend } from '../server/backends/contract.ts';
import { createIdentityBackend } from '../server/backends/identity/index.ts';
import { createLlamaBackend, createNodeBackend, createTfjsBackend } from '../server/backends/node/index.ts';
import { createOnnxruntimeBackend, DEFAULT_POOL_LIMITS } from '../server/backends/onnxruntime/index.ts';
import { createFrameworkBackends, createPythonBackend } from '../server/backends/python/index.ts';

export interface BackendLimits {
  /** ONNX instances with a worker thread of their own. */
  readonly onnxruntimeThreads?: number;
}

/** Every backend that comes with the server. */
export function createBackends({ onnxruntimeThreads = DEFAULT_POOL_LIMITS.dedicated }: BackendLimits = {}): Backend[] {
  return [
    createIdentityBackend(),
    createOnnxruntimeBackend({ ...DEFAULT_POOL_LIMITS, dedicated: onnxruntimeThreads }),
    createPythonBackend(),
    createNodeBackend(),
    createLlamaBackend(),
    createTfjsBackend(),
    ...createFrameworkBackends(),
  ];
}
