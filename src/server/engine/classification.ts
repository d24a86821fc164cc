import { invalidArgument } from '../../core/index.ts';
import { type DataType, encodeStrings, type Tensor } from '../../tensor/index.ts';

/**
 * The `classification` extension: the `count` highest values of each row of an output as `value:index[:label]`
 * strings (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md).
 */
export function classify(
  output: Tensor,
  count: number,
  labels: readonly string[] | undefined,
  batching: boolean,
): Tensor {
  const values = numbersOf(output);
  const rows = batching ? (output.shape[0] ?? 1) : 1;
  const width = rows === 0 ? 0 : values.length / rows;
  const top = Math.min(count, width);
  const texts: string[] = [];
  for (let row = 0; row < rows; row++) {
    const at = (index: number): number => values[row * width + index] ?? Number.NEGATIVE_INFINITY;
    const order = Array.from({ length: width }, (_, index) => index).toSorted((a, b) => at(b) - at(a));
    for (const index of order.slice(0, top)) texts.push(entry(output.datatype, at(index), index, labels?.[index]));
  }
  return {
    name: output.name,
    datatype: 'BYTES',
    shape: batching ? [rows, top] : [top],
    data: encodeStrings(texts),
  };
}

function entry(datatype: DataType, value: number, index: number, label: string | undefined): string {
  const text = datatype === 'FP32' || datatype === 'FP64' ? value.toFixed(6) : String(value);
  return label === undefined || label === '' ? `${text}:${index}` : `${text}:${index}:${label}`;
}

function numbersOf({ name, datatype, data }: Tensor): readonly number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const read = (size: number, at: (offset: number) => number): readonly number[] =>
    Array.from({ length: data.length / size }, (_, index) => at(index * size));
  switch (datatype) {
    case 'UINT8':
      return [...data];
    case 'INT8':
      return read(1, (offset) => view.getInt8(offset));
    case 'UINT16':
      return read(2, (offset) => view.getUint16(offset, true));
    case 'INT16':
      return read(2, (offset) => view.getInt16(offset, true));
    case 'UINT32':
      return read(4, (offset) => view.getUint32(offset, true));
    case 'INT32':
      return read(4, (offset) => view.getInt32(offset, true));
    case 'UINT64':
      return read(8, (offset) => Number(view.getBigUint64(offset, true)));
    case 'INT64':
      return read(8, (offset) => Number(view.getBigInt64(offset, true)));
    case 'FP32':
      return read(4, (offset) => view.getFloat32(offset, true));
    case 'FP64':
      return read(8, (offset) => view.getFloat64(offset, true));
    case 'BOOL':
    case 'FP16':
    case 'BF16':
    case 'BYTES':
      throw invalidArgument(`class result not available for output '${name}' due to unsupported type '${datatype}'`);
    default:
      return datatype satisfies never;
  }
}
