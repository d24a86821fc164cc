import type { DataType } from '../../../tensor/index.ts';

/** ONNX Runtime's element type names and ours. BF16 has none in onnxruntime-node. */
const WIRE_TYPE: Readonly<Record<string, DataType>> = {
  float32: 'FP32',
  float16: 'FP16',
  float64: 'FP64',
  bool: 'BOOL',
  string: 'BYTES',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
};

export function wireTypeOf(onnxType: string): DataType | undefined {
  return WIRE_TYPE[onnxType];
}

export function onnxTypeOf(type: DataType): string | undefined {
  return Object.entries(WIRE_TYPE).find(([, wire]) => wire === type)?.[0];
}

/** The typed array over a tensor's elements that ONNX Runtime's JavaScript tensors use. */
export function typedView(type: DataType, buffer: ArrayBufferLike, offset: number, byteLength: number): TypedView {
  switch (type) {
    case 'BOOL':
    case 'UINT8':
      return new Uint8Array(buffer, offset, byteLength);
    case 'INT8':
      return new Int8Array(buffer, offset, byteLength);
    case 'UINT16':
    case 'FP16':
    case 'BF16':
      return new Uint16Array(buffer, offset, byteLength / 2);
    case 'INT16':
      return new Int16Array(buffer, offset, byteLength / 2);
    case 'UINT32':
      return new Uint32Array(buffer, offset, byteLength / 4);
    case 'INT32':
      return new Int32Array(buffer, offset, byteLength / 4);
    case 'FP32':
      return new Float32Array(buffer, offset, byteLength / 4);
    case 'FP64':
      return new Float64Array(buffer, offset, byteLength / 8);
    case 'UINT64':
      return new BigUint64Array(buffer, offset, byteLength / 8);
    case 'INT64':
      return new BigInt64Array(buffer, offset, byteLength / 8);
    case 'BYTES':
      throw new Error('BYTES tensors have no typed array');
    default:
      return type satisfies never;
  }
}

export type TypedView =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;
