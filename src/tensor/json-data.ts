import { internalError } from '../core/index.ts';
import { decodeStrings, encodeStrings } from './bytes-tensor.ts';
import { type DataType, ELEMENT_SIZE } from './data-type.ts';

const SHAPE_MISMATCH = "Unable to parse 'data': Shape does not match true shape of 'data' field";

/** Wording of Triton's JSON type errors, by data type. */
function typeError(expected: string): Error {
  return internalError(`Unable to parse 'data': attempt to access JSON non-${expected} as ${expected}`);
}

const UNSIGNED_MAX: Partial<Record<DataType, number>> = { UINT8: 0xff, UINT16: 0xffff, UINT32: 0xffffffff };
const SIGNED_LIMIT: Partial<Record<DataType, number>> = { INT8: 0x80, INT16: 0x8000, INT32: 0x80000000 };

/**
 * The bytes of a JSON `data` field: numbers, booleans or strings, flat or nested row by row.
 * @throws INTERNAL, in Triton's words, when the count or a value does not fit.
 */
export function packJsonData(data: unknown, datatype: DataType, count: number): Uint8Array {
  if (!Array.isArray(data)) throw internalError("Unable to parse 'data': attempt to access JSON non-array as array");
  if (datatype === 'BYTES') return encodeStrings(flattenStrings(data, count));
  // A flat array of the right length is the common case: no intermediate array then.
  const values: readonly unknown[] = data.length === count && !Array.isArray(data[0]) ? data : flatten(data, count);
  const bytes = new Uint8Array(count * ELEMENT_SIZE[datatype]);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < count; index++) writeElement(view, index, values[index], datatype);
  return bytes;
}

/** How deep rows may nest; no tensor has that many dimensions. */
const MAX_DEPTH = 100;

function flatten(data: readonly unknown[], count: number): unknown[] {
  const values: unknown[] = [];
  const visit = (value: unknown, depth: number): void => {
    if (depth > MAX_DEPTH) throw internalError(`Unable to parse 'data': it nests deeper than ${MAX_DEPTH} levels`);
    if (Array.isArray(value)) for (const inner of value) visit(inner, depth + 1);
    else values.push(value);
  };
  visit(data, 0);
  if (values.length !== count) throw internalError(SHAPE_MISMATCH);
  return values;
}

function flattenStrings(data: readonly unknown[], count: number): readonly string[] {
  return flatten(data, count).map((value) => {
    if (typeof value !== 'string') {
      throw internalError('Unable to parse JSON bytes array: attempt to access JSON non-string as string');
    }
    return value;
  });
}

function writeElement(view: DataView, index: number, value: unknown, datatype: DataType): void {
  switch (datatype) {
    case 'BOOL':
      return view.setUint8(index, asBoolean(value));
    case 'UINT8':
      return view.setUint8(index, asUnsigned(value, datatype));
    case 'UINT16':
      return view.setUint16(index * 2, asUnsigned(value, datatype), true);
    case 'UINT32':
      return view.setUint32(index * 4, asUnsigned(value, datatype), true);
    case 'UINT64':
      return view.setBigUint64(index * 8, asBigUnsigned(value), true);
    case 'INT8':
      return view.setInt8(index, asSigned(value, datatype));
    case 'INT16':
      return view.setInt16(index * 2, asSigned(value, datatype), true);
    case 'INT32':
      return view.setInt32(index * 4, asSigned(value, datatype), true);
    case 'INT64':
      return view.setBigInt64(index * 8, asBigSigned(value), true);
    case 'FP32':
      return view.setFloat32(index * 4, asNumber(value), true);
    case 'FP64':
      return view.setFloat64(index * 8, asNumber(value), true);
    case 'FP16':
    case 'BF16':
    case 'BYTES':
      return;
    default:
      return datatype satisfies never;
  }
}

function asBoolean(value: unknown): number {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (value === 0 || value === 1) return value;
  throw typeError('boolean');
}

function asUnsigned(value: unknown, datatype: DataType): number {
  if (!Number.isInteger(value) || (value as number) < 0) throw typeError('unsigned-integer');
  const limit = UNSIGNED_MAX[datatype] ?? Number.MAX_SAFE_INTEGER;
  if ((value as number) > limit) throw outOfRange(value, datatype);
  return value as number;
}

function asSigned(value: unknown, datatype: DataType): number {
  if (!Number.isInteger(value)) throw typeError('signed-integer');
  const limit = SIGNED_LIMIT[datatype] ?? Number.MAX_SAFE_INTEGER;
  if ((value as number) >= limit || (value as number) < -limit) throw outOfRange(value, datatype);
  return value as number;
}

function asBigUnsigned(value: unknown): bigint {
  if (typeof value === 'bigint' && value >= 0n && value < 1n << 64n) return value;
  if (!Number.isInteger(value) || (value as number) < 0) throw typeError('unsigned-integer');
  return BigInt(value as number);
}

function asBigSigned(value: unknown): bigint {
  if (typeof value === 'bigint' && value >= -(1n << 63n) && value < 1n << 63n) return value;
  if (!Number.isInteger(value)) throw typeError('signed-integer');
  return BigInt(value as number);
}

function asNumber(value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  throw internalError("Unable to parse 'data': attempt to access JSON non-number as double");
}

function outOfRange(value: unknown, datatype: DataType): Error {
  return internalError(`Unable to parse 'data': value ${String(value)} is out of range for ${datatype}`);
}

/** The JSON text of a tensor's `data` field: one flat array, exact for every 64-bit integer. */
export function tensorToJson(data: Uint8Array, datatype: DataType): string {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  switch (datatype) {
    case 'BOOL':
      return `[${Array.from(data, (byte) => (byte ? 'true' : 'false')).join(',')}]`;
    case 'UINT8':
      return `[${data.join(',')}]`;
    case 'INT8':
      return join(data.length, (index) => view.getInt8(index));
    case 'UINT16':
      return join(data.length / 2, (index) => view.getUint16(index * 2, true));
    case 'INT16':
      return join(data.length / 2, (index) => view.getInt16(index * 2, true));
    case 'UINT32':
      return join(data.length / 4, (index) => view.getUint32(index * 4, true));
    case 'INT32':
      return join(data.length / 4, (index) => view.getInt32(index * 4, true));
    case 'UINT64':
      return join(data.length / 8, (index) => view.getBigUint64(index * 8, true));
    case 'INT64':
      return join(data.length / 8, (index) => view.getBigInt64(index * 8, true));
    case 'FP16':
    case 'BF16':
      throw internalError(`${datatype} has no JSON form: ask for the output as binary data`);
    case 'FP32':
      return join(data.length / 4, (index) => number(view.getFloat32(index * 4, true)));
    case 'FP64':
      return join(data.length / 8, (index) => number(view.getFloat64(index * 8, true)));
    case 'BYTES':
      return JSON.stringify(decodeStrings(data));
    default:
      return datatype satisfies never;
  }
}

/** Numbers as Triton prints them: always with a fraction, and NaN and infinities as such (its clients accept them). */
function number(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
  return Number.isInteger(value) && Math.abs(value) < 1e21 ? `${Object.is(value, -0) ? '-0' : value}.0` : String(value);
}

function join(count: number, element: (index: number) => number | bigint | string): string {
  const parts: string[] = [];
  for (let index = 0; index < count; index++) parts.push(String(element(index)));
  return `[${parts.join(',')}]`;
}
