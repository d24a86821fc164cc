import type { RequestTrace, TracedTensor } from '../../../telemetry/index.ts';
import { type Tensor, tensorToJson } from '../../../tensor/index.ts';

/** Bytes of one tensor that a trace shows; longer ones are cut, and say so. */
const MAX_TRACED_BYTES = 64 * 1024;

/** Puts tensors into a trace (level TENSORS). */
export function traceTensors(
  trace: RequestTrace,
  activity: TracedTensor['activity'],
  tensors: readonly Tensor[],
): void {
  for (const { name, datatype, shape, data } of tensors) {
    trace.tensor({ activity, name, datatype, shape: shape.join(), data: valuesOf(datatype, data) });
  }
}

function valuesOf(datatype: Tensor['datatype'], data: Uint8Array): string {
  if (datatype === 'FP16' || datatype === 'BF16')
    return Buffer.from(data.subarray(0, MAX_TRACED_BYTES)).toString('hex');
  if (datatype !== 'BYTES' && data.length > MAX_TRACED_BYTES) {
    return `${valuesOf(datatype, data.subarray(0, MAX_TRACED_BYTES))},...`;
  }
  // Triton prints a float that is whole without its point.
  return tensorToJson(data, datatype)
    .slice(1, -1)
    .replaceAll(/\.0(?=,|$)/g, '');
}
