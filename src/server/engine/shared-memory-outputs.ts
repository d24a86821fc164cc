import type { InferenceRequest, InferenceResponse, SharedMemoryOutputs, SharedMemoryReference } from '../../protocol/index.ts';
import type { Engine } from './engine.ts';

/** Writes the outputs that were asked for in shared memory; returns where each of them went. */
export function sharedMemoryOutputs(
  engine: Engine,
  request: InferenceRequest,
  response: InferenceResponse,
): SharedMemoryOutputs | undefined {
  let written: Map<string, SharedMemoryReference> | undefined;
  for (const requested of request.outputs) {
    if (!requested.sharedMemory) continue;
    const output = response.outputs.find((candidate) => candidate.name === requested.name);
    if (!output) continue;
    engine.sharedMemory.write(output, requested.sharedMemory);
    written ??= new Map();
    written.set(output.name, { ...requested.sharedMemory, byteSize: output.data.length });
  }
  return written;
}
