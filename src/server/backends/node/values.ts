import { invalidArgument } from '../../../core/index.ts';
import {
  type DataType,
  decodeBytes,
  decodeStrings,
  elementCount,
  encodeBytes,
  formatShape,
  type Tensor,
} from '../../../tensor/index.ts';
import { arrayTypeOf, type ModelOutput, type ModelTensor } from './model-api.ts';

/** A tensor as a model sees it. Texts are decoded when the model looks at them. */
export function modelTensor(tensor: Tensor): ModelTensor {
  return new IncomingTensor(tensor);
}

class IncomingTensor implements ModelTensor {
  private readonly tensor: Tensor;
  private read: ModelTensor['values'] | undefined;

  constructor(tensor: Tensor) {
    this.tensor = tensor;
  }

  get datatype(): DataType {
    return this.tensor.datatype;
  }

  get shape(): readonly number[] {
    return this.tensor.shape;
  }

  get values(): ModelTensor['values'] {
    const { datatype, data } = this.tensor;
    this.read ??= datatype === 'BYTES' ? decodeStrings(data) : typed(datatype, data);
    return this.read;
  }

  get elements(): readonly Uint8Array[] {
    return this.tensor.datatype === 'BYTES' ? decodeBytes(this.tensor.data) : [];
  }
}

function typed(type: Exclude<DataType, 'BYTES'>, data: Uint8Array): Exclude<ModelTensor['values'], readonly string[]> {
  const ArrayType = arrayTypeOf(type);
  const size = ArrayType.BYTES_PER_ELEMENT;
  // Values that do not lie where their type wants them are moved. (A Buffer's `slice` would not copy.)
  const aligned = data.byteOffset % size === 0 ? data : new Uint8Array(data);
  return new ArrayType(aligned.buffer, aligned.byteOffset, data.byteLength / size);
}

/**
 * What a model returned for an output, as bytes.
 * @throws INVALID_ARG for values of another type or another number than the shape says
 */
export function outputTensor(name: string, datatype: DataType, output: ModelOutput): Tensor {
  const { shape, values } = output;
  if (!Array.isArray(shape) || !shape.every((dim) => Number.isInteger(dim) && dim >= 0)) {
    throw invalidArgument(`output '${name}' needs a shape of integers >= 0, got ${JSON.stringify(shape)}`);
  }
  const count = elementCount(shape);
  const data = datatype === 'BYTES' ? encoded(name, values) : viewed(name, datatype, values);
  const length = (values as ArrayLike<unknown>).length;
  if (length !== count) {
    throw invalidArgument(`output '${name}' has shape ${formatShape(shape)}, which is ${count} values, got ${length}`);
  }
  return { name, datatype, shape, data };
}

function encoded(name: string, values: unknown): Uint8Array {
  if (!Array.isArray(values)) throw invalidArgument(`output '${name}' is BYTES: its values must be an array of texts`);
  return encodeBytes(
    values.map((value: unknown) => {
      if (typeof value === 'string') return Buffer.from(value);
      if (value instanceof Uint8Array) return value;
      throw invalidArgument(`output '${name}' is BYTES: its values must be texts or Uint8Arrays, got ${typeof value}`);
    }),
  );
}

function viewed(name: string, datatype: Exclude<DataType, 'BYTES'>, values: unknown): Uint8Array {
  const ArrayType = arrayTypeOf(datatype);
  if (!(values instanceof ArrayType)) {
    const got = values === null || values === undefined ? String(values) : Object(values).constructor.name;
    throw invalidArgument(`output '${name}' is ${datatype}: its values must be a ${ArrayType.name}, got ${got}`);
  }
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
