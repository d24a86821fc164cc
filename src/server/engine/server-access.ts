import type { ServerAccess } from '../backends/contract.ts';
import type { Engine } from './engine.ts';

/** The engine as the models that it runs may use it. */
export function serverAccess(engine: Engine): ServerAccess {
  return {
    infer: (request, sink) => engine.inferNested(request, sink),
    isDecoupled: (name, version) => engine.isDecoupled(name, version),
    load: (name, override) => engine.load(name, override),
    unload: (name, withSteps) => engine.unload(name, withSteps),
    isModelReady: (name, version) => engine.isModelReady(name, version),
    metrics: engine.customMetrics,
  };
}
