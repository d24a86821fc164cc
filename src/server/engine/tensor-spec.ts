import type { ModelConfig, ModelInput, ModelOutput } from '../../protocol/index.ts';
import { wireDataType } from '../../protocol/index.ts';
import { type DataType, formatShape, type Shape } from '../../tensor/index.ts';

/** An input or output of a model, in the form that requests are checked against. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: DataType;
  /** Without the batch dimension. */
  readonly dims: Shape;
  /** What the model itself wants in place of `dims`. */
  readonly reshape: Shape | undefined;
  readonly optional: boolean;
  /** Requests of different shapes share a batch: the input is put together without a batch dimension. */
  readonly ragged: boolean;
  /** All dimensions are fixed. */
  readonly fixed: boolean;
}

export function inputSpecs(config: ModelConfig): readonly TensorSpec[] {
  return config.input.map((input) => specOf(input, input.optional, input.allowRaggedBatch));
}

export function outputSpecs(config: ModelConfig): readonly TensorSpec[] {
  return config.output.map((output) => specOf(output, false, false));
}

function specOf(tensor: ModelInput | ModelOutput, optional: boolean, ragged: boolean): TensorSpec {
  const datatype = wireDataType(tensor.dataType);
  if (datatype === undefined) throw new Error(`tensor '${tensor.name}' has no data type`);
  const dims = tensor.dims.map(Number);
  return {
    name: tensor.name,
    datatype,
    dims,
    reshape: tensor.reshape?.shape.map(Number),
    optional,
    ragged,
    fixed: dims.every((dim) => dim >= 0),
  };
}

/** The shape that clients see: with a leading -1 when the model batches. */
export function publicShape({ dims }: TensorSpec, batching: boolean): Shape {
  return batching ? [-1, ...dims] : dims;
}

/**
 * Replaces `from` dimensions by `to`, whose -1 take the sizes that `shape` has where `from` has -1, in order.
 * `shape` has no batch dimension.
 */
export function reshaped(shape: Shape, from: Shape, to: Shape): Shape {
  const variable = shape.filter((_, index) => from[index] === -1);
  let next = 0;
  return to.map((dim) => (dim === -1 ? (variable[next++] ?? -1) : dim));
}

export function describeExpected(spec: TensorSpec, batching: boolean): string {
  return formatShape(publicShape(spec, batching));
}
