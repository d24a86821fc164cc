import { invalidArgument, type ServerError, withRequestId } from '../../../core/index.ts';
import { type InferenceRequest, NO_PARAMETERS } from '../../../protocol/index.ts';
import { ELEMENT_SIZE, encodeBytes } from '../../../tensor/index.ts';
import type { LoadedModel } from '../../engine/index.ts';

/**
 * A request that is nothing but the bytes of the model's only input (`Inference-Header-Content-Length: 0`): the shape
 * is deduced from their number
 * (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md#raw-binary-request).
 */
export function rawRequest(model: LoadedModel, version: string, body: Uint8Array): InferenceRequest {
  const fail = (message: string): ServerError => invalidArgument(withRequestId('', message));
  const [spec] = model.inputs;
  if (!spec || model.inputs.length !== 1) {
    throw fail(
      `Raw request must only have 1 input (found 1) to be deduced but got ${model.inputs.length} inputs in '${model.name}' model configuration`,
    );
  }
  const build = (dims: readonly number[], data: Uint8Array): InferenceRequest => ({
    modelName: model.name,
    modelVersion: version,
    id: '',
    inputs: [{ name: spec.name, datatype: spec.datatype, shape: model.batching ? [1, ...dims] : dims, data }],
    outputs: [],
    parameters: NO_PARAMETERS,
    priority: 0,
    timeoutMicros: 0,
  });
  if (spec.datatype === 'BYTES') {
    if (spec.dims.length !== 1 || spec.dims[0] !== 1) {
      throw fail(`For BYTE datatype raw input '${spec.name}', the model must have input shape [1]`);
    }
    return build([1], encodeBytes([body]));
  }
  const variable = spec.dims.filter((dim) => dim === -1).length;
  if (variable > 1) {
    throw fail(
      `The shape of the raw input '${spec.name}' can not be deduced because there are more than one variable-sized dimension`,
    );
  }
  const fixedBytes = spec.dims.reduce((all, dim) => (dim === -1 ? all : all * dim), 1) * ELEMENT_SIZE[spec.datatype];
  if (variable === 1 && body.length % fixedBytes !== 0) {
    throw fail(
      `The shape of the raw input '${spec.name}' can not be deduced because the number of bytes ${body.length} is not a multiple of ${fixedBytes}`,
    );
  }
  return build(
    spec.dims.map((dim) => (dim === -1 ? body.length / fixedBytes : dim)),
    body,
  );
}
