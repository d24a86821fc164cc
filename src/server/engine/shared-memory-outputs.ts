import type { InferenceRequest, InferenceResponse, SharedMemoryOutputs } from '../../protocol/index.ts';
import type { Engine } from './engine.ts';

/** Writes the outputs that were asked for in shared memory; returns their names. */
export function sharedMemoryOutputs(
  engine: Engine,
  request: InferenceRequest,
  response: InferenceResponse,
): SharedMemoryOutputs | undefined {
  let written: Set<string> | undefined;
  for (const requested of request.outputs) {
    if (!requested.sharedMemory) continue;
    const output = response.outputs.find((candidate) => candidate.name === requested.name);
    if (!output) continue;
    engine.sharedMemory.write(output, requested.sharedMemory);
    written ??= new Set();
    written.add(output.name);
  }
  return written;
}
