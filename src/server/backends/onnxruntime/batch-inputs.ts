import { type BatchInput, BatchInput_Kind as Kind, wireDataType } from '../../../protocol/index.ts';
import { type DataType, ELEMENT_SIZE, elementCount, type Shape, type Tensor } from '../../../tensor/index.ts';
import type { ExecutionUnit } from '../contract.ts';

/**
 * The tensors that `batch_input` adds to a batch: what the model has to know of requests whose inputs were put
 * together without a batch dimension
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/ragged_batching.md).
 */
export function batchInputTensors(units: readonly ExecutionUnit[], inputs: readonly BatchInput[]): readonly Tensor[] {
  return inputs.flatMap((input) => {
    const [source] = input.sourceInput;
    const shapes = units.map((unit) => unit.inputs.find((tensor) => tensor.name === source)?.shape ?? [0]);
    const rows = units.map((unit) => unit.batchSize);
    const { shape, values } = valuesOf(input.kind, shapes, rows);
    const datatype = wireDataType(input.dataType) ?? 'INT32';
    return input.targetName.map((name): Tensor => ({ name, datatype, shape, data: encode(values, datatype) }));
  });
}

/** @param shapes of the source input, one per request, batch dimension included */
function valuesOf(
  kind: Kind,
  shapes: readonly Shape[],
  rows: readonly number[],
): { readonly shape: Shape; readonly values: readonly number[] } {
  const counts = shapes.map((shape) => elementCount(shape) ?? 0);
  let sum = 0;
  const sums = counts.map((count) => (sum += count));
  switch (kind) {
    case Kind.BATCH_ELEMENT_COUNT:
      return { shape: [counts.length], values: counts };
    case Kind.BATCH_ACCUMULATED_ELEMENT_COUNT:
      return { shape: [sums.length], values: sums };
    case Kind.BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO:
      return { shape: [sums.length + 1], values: [0, ...sums] };
    case Kind.BATCH_MAX_ELEMENT_COUNT_AS_SHAPE: {
      const longest = Math.max(0, ...counts);
      return { shape: [longest], values: Array.from({ length: longest }, () => 0) };
    }
    case Kind.BATCH_ITEM_SHAPE: {
      const values = itemShapes(shapes, rows);
      const total = rows.reduce((all, count) => all + count, 0);
      return { shape: [total, total === 0 ? 0 : values.length / total], values };
    }
    case Kind.BATCH_ITEM_SHAPE_FLATTEN: {
      const values = itemShapes(shapes, rows);
      return { shape: [values.length], values };
    }
    default:
      return kind satisfies never;
  }
}

/** The shape of every item of the batch, one after the other. */
function itemShapes(shapes: readonly Shape[], rows: readonly number[]): readonly number[] {
  return shapes.flatMap((shape, index) => Array.from({ length: rows[index] ?? 0 }, () => shape.slice(1)).flat());
}

function encode(values: readonly number[], datatype: DataType): Uint8Array {
  const bytes = new Uint8Array(values.length * ELEMENT_SIZE[datatype]);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    if (datatype === 'FP32') view.setFloat32(index * 4, value, true);
    else if (datatype === 'INT64') view.setBigInt64(index * 8, BigInt(value), true);
    else view.setInt32(index * 4, value, true);
  });
  return bytes;
}

/** Data types that batch inputs come in. */
export const BATCH_INPUT_TYPES: readonly DataType[] = ['INT32', 'FP32', 'INT64'];
