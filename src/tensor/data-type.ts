/** Every tensor data type on a KServe v2 wire, in the protocol's spelling. */
export const DATA_TYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
  'BF16',
] as const;

export type DataType = (typeof DATA_TYPES)[number];

/** Bytes of one element; 0 for `BYTES`, whose elements carry their own length. */
export const ELEMENT_SIZE: Record<DataType, number> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
  BF16: 2,
};

const known: ReadonlySet<string> = new Set(DATA_TYPES);

export function isDataType(text: string): text is DataType {
  return known.has(text);
}
