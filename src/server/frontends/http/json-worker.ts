/** A worker thread that turns long JSON into tensors and back, so that the event loop does not. */
import { parentPort } from 'node:worker_threads';
import { toServerError } from '../../../core/index.ts';
import { encodeInferResponse, parseInferRequest } from '../../../protocol/index.ts';
import type { JsonAnswer, JsonTask } from './json-offload.ts';

const port = parentPort;
if (!port) throw new Error('json-worker must run in a worker thread');

port.on('message', (task: JsonTask) => {
  const buffers = new Set<ArrayBuffer>();
  const answer = perform(task, buffers);
  port.postMessage(answer, [...buffers]);
});

/** @param buffers receives what can be moved to the other side instead of being copied */
function perform(task: JsonTask, buffers: Set<ArrayBuffer>): JsonAnswer {
  try {
    if (task.kind === 'parse') {
      const value = parseInferRequest(task.modelName, task.modelVersion, task.body, task.headerLength);
      for (const { data } of value.request.inputs) if (data.buffer instanceof ArrayBuffer) buffers.add(data.buffer);
      return { kind: 'parsed', value };
    }
    const binary = new Set(task.binaryOutputs);
    const { json, binary: parts } = encodeInferResponse(
      task.response,
      (name) => binary.has(name),
      new Set(task.sharedMemory),
    );
    const text = new TextEncoder().encode(json);
    buffers.add(text.buffer);
    return { kind: 'encoded', text, binary: parts };
  } catch (thrown) {
    const error = toServerError(thrown);
    return { kind: 'failed', code: error.code, message: error.message };
  }
}
